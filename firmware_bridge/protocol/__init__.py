"""The contract with the microcontroller: messages, codec, limits."""
