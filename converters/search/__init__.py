"""Mixed precision: what each layer costs the task, and which stay in float."""
