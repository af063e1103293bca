"""Doctor, embodiment tool, autostart, launch descriptions, generated documents."""
