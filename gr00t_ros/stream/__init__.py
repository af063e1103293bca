"""The streamers: separate nodes that play windows as points, commands and goals."""
