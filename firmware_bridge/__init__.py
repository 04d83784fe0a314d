"""The link to the microcontroller, and its firmware in C."""
