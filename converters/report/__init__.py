"""Report.json and what stands behind its figures."""
