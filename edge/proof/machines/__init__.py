"""State machines of the proof: rules, modes, microcontroller, closed loop."""
