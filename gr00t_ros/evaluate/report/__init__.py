"""The report of an evaluation for people: a page with its plots inside."""
