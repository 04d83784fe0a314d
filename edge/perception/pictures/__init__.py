"""Picture files: which files are pictures, their headers, their pixels."""
