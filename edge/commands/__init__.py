"""The device's verbs, one file each: options, progress and printing."""
