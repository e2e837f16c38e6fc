"""Checks and figures of finished shards."""
