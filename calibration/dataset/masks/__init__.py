"""Label masks, and the picture that each belongs to."""
