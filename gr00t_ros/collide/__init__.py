"""Pure: the robot's shapes, the scene, and the proof that a window touches nothing."""
