"""Video files: containers, frames with presentation times, and files just written."""
