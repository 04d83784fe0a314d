"""The one preprocess and the one decode, and the values that flow between them."""
