"""A process without rights, in which untrusted model files are opened."""
