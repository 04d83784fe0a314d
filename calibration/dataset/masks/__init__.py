"""Label masks and which picture each is of."""
