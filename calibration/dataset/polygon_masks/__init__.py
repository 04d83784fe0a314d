"""`data masks`: polygons of labels drawn as masks."""
