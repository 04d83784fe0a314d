"""`data check`: the table of checks, one file a family, and the page of findings."""
