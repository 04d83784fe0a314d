"""One file a verb of the device, and the options that verbs share."""
