"""The difference mask: where a forgery differs from its real clip by more than codec noise."""
