"""The build of one engine, in a process of its own."""
