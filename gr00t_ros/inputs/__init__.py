"""Topics of sensors and controllers -> buffers, by pulled subscriptions."""
