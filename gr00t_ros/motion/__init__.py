"""Pure: action chunks in, windows of a committed, limited motion out."""
