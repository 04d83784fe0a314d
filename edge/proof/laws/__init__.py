"""What the documents declare of one turn, and the laws that every turn obeys."""
