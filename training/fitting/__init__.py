"""How a model is trained, saved and continued."""
