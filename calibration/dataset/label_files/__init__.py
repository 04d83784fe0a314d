"""What label readers share: records, tables, class names, paired files."""
