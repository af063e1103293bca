"""Pure: what is watched, with which threshold, reaction, reason and remedy."""
