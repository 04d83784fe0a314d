"""What the benchmarks of INT8 compare: their cases, and the peers that take part."""
