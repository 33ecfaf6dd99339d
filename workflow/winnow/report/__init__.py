"""The report of a run: one page that begins with the answer."""
