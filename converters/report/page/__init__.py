"""The report as a page, report.html, made of report.json and the worst frames."""
