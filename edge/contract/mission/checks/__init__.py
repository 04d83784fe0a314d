"""Rules of the mission that span several keys: one table of checks on plain dictionaries."""
