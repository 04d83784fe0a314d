"""Label format readers, one file a format. None of them opens a picture."""
