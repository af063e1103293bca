"""Observations as files: of a running node, of a bag or dataset, or made up."""
