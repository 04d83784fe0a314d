"""Counter-examples as stories: found, written, played again, told in words."""
