"""LIBERO as a simulated robot, and a scripted policy for it."""
