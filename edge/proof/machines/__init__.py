"""Machines of the proof: numpy frontier, the microcontroller, rules, the closed loop."""
