"""The lifecycle node gr00t_policy."""
