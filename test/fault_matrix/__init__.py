"""The fault matrix: every fault injected into the running closed loop, and what came of it."""
