"""What label formats share: collected records, tables, class names, paired files."""
