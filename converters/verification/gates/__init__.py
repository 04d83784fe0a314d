"""The mission's limits: a verdict and a sentence for each."""
