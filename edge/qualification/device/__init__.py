"""What a device is and how it feels, from its own files."""
