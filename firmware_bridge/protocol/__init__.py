"""The contract with the microcontroller: messages, codec, frames, limits, generated C."""
