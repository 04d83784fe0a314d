"""What is painted into a picture."""
