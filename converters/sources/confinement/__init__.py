"""A process without rights, in which files of others are opened."""
