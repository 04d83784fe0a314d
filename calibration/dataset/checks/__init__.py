"""`data check`: inspection, one file a family of checks, the page."""
