"""The simulated Franka with Robotiq 2F-85 at a table, and the policy that sees and acts in it."""
