"""The streamers: windows played as points, commands and goals by nodes of their own."""
