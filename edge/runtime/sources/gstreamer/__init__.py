"""Cameras behind a GStreamer pipeline, which runs in a process of its own."""
