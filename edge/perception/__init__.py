"""The one preprocess, the one decode, and the values between."""
