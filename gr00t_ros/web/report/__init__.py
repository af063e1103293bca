"""What the page shows of reports: their list and files, and a source for a page without a robot."""
