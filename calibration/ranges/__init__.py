"""From histograms to ranges.json."""
