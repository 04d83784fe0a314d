"""Facts about a picture from its bytes and pixels: blank, descriptor, summary."""
