"""Video files: containers, frames with their times, and files just written."""
