"""Where answers to label requests come from."""
