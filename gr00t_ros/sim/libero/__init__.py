"""LIBERO as a simulated robot (an optional extra), and a scripted policy for it."""
