"""A robot without physics, made from any embodiment file: sensors, controllers, receivers."""
