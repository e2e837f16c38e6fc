"""Dataset layouts: one small module a dataset."""
