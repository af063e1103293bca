"""Many replicas of one policy behind one address, on Ray Serve; only this room imports ray."""
