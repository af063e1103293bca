"""The simulated Unitree G1 at a table, and the policy that sees and acts in it."""
