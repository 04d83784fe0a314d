"""Road frames as data: where they lie, which belong together, which are held back."""
