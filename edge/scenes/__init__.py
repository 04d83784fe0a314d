"""Generated road scenes with ground truth: seeded stills and clips. Needs the extra `camera`."""
