"""The report of a run: a page with tables and plots."""
