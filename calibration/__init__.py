"""What the data says: road frames, observed ranges, metrics."""
