"""Sections of the mission file, one module for those that are read together."""
