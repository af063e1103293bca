"""The recorder: episodes of a robot as bags, with who commanded it and how they ended."""
