"""The flows of the running node: their times, and the service that records them."""
