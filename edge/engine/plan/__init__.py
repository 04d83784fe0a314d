"""Plans: header, sidecar, approval before one is loaded, and the choice of one."""
