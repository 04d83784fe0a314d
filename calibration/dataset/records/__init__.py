"""Records of a data set: boxes, outlines, conditions, faults of their labels."""
