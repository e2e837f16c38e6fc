"""How it is computed: pure typed functions on numpy arrays and records. No Beam, no DVC, no global state."""
