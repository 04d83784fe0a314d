"""Outlines of labels drawn as masks: `brakepoint data masks`."""
