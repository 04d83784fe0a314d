"""`report.html`: the report as one page for people, made of report.json and the worst frames."""
