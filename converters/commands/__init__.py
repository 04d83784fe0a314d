"""The workshop's verbs, one file each: options, progress and printing."""
