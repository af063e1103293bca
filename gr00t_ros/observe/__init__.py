"""Pure: readings in, one observation out, and the server's modality config compared with it."""
