"""Picture files: which files are pictures, what their headers say, and their pixels."""
