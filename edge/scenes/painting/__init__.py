"""Paints road, weather, people and vehicles into a picture."""
