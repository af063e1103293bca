"""The report of a closed-loop evaluation."""
