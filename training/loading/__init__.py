"""What the loader is made of: which samples, in which batch, from which shard."""
