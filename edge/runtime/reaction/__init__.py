"""From light to standstill: how late a rule acts and what it still avoids."""
