"""LIBERO's tasks as a simulated Panda with a Cartesian controller; an optional extra."""
