"""Where INT8 goes and how it is written: rules, Q/DQ, rounding, lint."""
