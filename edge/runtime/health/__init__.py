"""Health of what is seen: checks of every picture and of its kind."""
