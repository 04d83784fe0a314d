"""The limits of the mission, a verdict and a sentence for each."""
