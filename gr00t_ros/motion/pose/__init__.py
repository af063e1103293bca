"""End effectors that are commanded by poses: the follower, the course, the windows of all."""
