"""One conversion, from inputs to published files: stages, cache, lockfile."""
