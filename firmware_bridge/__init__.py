"""The last metre: contract, codec, framing and link to the microcontroller, and its firmware."""
