"""Road frames read when it is their turn, one file a kind of source."""
