"""Pure: one activation of the node, its modes and stops, and when the server is queried."""
