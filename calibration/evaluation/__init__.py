"""How good a converted network is on labelled frames, and how sure that is."""
