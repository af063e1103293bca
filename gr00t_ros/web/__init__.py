"""The operator page: sources of what is shown, and the server that shows it in a browser."""
