"""Cars, lorries and their parts, painted into a scene."""
