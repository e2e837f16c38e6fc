"""How well a model tells forgeries, and where it looks."""
