"""Which labelled frames, and what their words mean to the model."""
