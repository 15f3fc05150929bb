"""What the lessons alone need: set-up, palette, explorers, and one folder a lesson."""
