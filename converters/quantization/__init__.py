"""Where INT8 goes and how it is written: rules, placement, Q/DQ, biases, rounding."""
