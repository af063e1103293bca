"""The fault matrix: every fault is injected into the running closed loop, and the result judged."""
