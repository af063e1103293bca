"""A robot's description (URDF): its text as elements, and the chains of joints in it."""
