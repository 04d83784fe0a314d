"""The policy: facts in, a decision out. No I/O, no clock."""
