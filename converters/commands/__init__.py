"""One file a verb of the workshop; nothing but options, progress and printing."""
