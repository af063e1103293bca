"""The page gr00t web: what the policy sees and does, in a browser, in a process of its own."""
