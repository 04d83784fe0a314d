"""Files that travel to the device: mission, conversion, run record."""
