"""The device half: sources of frames, inference, policy, engines, the one command."""
