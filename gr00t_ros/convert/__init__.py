"""From bags to datasets: episodes out of bags, and the command gr00t dataset."""
