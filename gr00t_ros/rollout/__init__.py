"""A policy on a simulated benchmark, through the deployed node: episodes, success, report."""
