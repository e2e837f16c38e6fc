"""Errors that end a run with a message instead of a traceback."""


class UsageError(Exception):
    """What was asked cannot be done: names the value, the file and the remedy. Exit code 2."""
