"""Pure: shapes of a robot and of its surroundings, and the distances between them."""
