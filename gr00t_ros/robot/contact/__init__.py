"""What measures that the arm touches something."""
