"""What can be told from a picture's bytes and pixels."""
