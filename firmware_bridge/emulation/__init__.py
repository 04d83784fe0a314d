"""The firmware as a process on this machine."""
