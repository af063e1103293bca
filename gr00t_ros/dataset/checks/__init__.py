"""What is checked of a dataset: its metadata, rows, pictures, statistics and alignment."""
