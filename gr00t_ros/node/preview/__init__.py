"""Preview topics: what the policy sees, and what the arms did and are about to do."""
