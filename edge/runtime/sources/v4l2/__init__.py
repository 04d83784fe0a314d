"""Cameras through Video4Linux itself, with their drivers' times and numbers."""
