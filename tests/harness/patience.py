"""How long a test waits for a process of its own to end: long, since the machine may be busy.

A test that waits so long has failed already; a short limit would fail on a busy machine too. What
files may cost is bounded in processor time (file_budgets.py).
"""

PATIENCE_S = 900.0
