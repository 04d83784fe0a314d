"""Rules of the mission that span several keys, in one table of checks."""
