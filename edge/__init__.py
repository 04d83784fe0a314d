"""The device half: camera sources, inference, policy, engines, and the command `brakepoint`."""
