"""Pure: what is watched, with its thresholds, reaction, reason and remedy."""
