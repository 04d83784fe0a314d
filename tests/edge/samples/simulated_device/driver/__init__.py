"""The rules of the simulated driver, a class of calls a file, over its memory and streams."""
