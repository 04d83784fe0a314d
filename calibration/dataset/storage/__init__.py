"""Where a data set lies: opened, listed and read through fsspec, whatever it is."""
