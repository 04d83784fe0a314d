"""The report, report.json: figures of a conversion and their context."""
