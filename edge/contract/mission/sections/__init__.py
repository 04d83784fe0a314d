"""The schema of the mission file, section by section."""
