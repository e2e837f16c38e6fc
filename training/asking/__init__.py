"""Which fakes people are asked about."""
