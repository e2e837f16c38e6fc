"""Measurements: what the README and the docs quote."""
