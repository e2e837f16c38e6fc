"""Errors that end a run with a message instead of a traceback."""


class UsageError(Exception):
    """What was asked cannot be done: names the value, the file and the remedy. Exit code 2."""


class StoppedError(Exception):
    """A run could not go on, through no fault of its data or its usage: no room, or a worker that was killed.

    Says what to do; a rerun continues. Exit code 1.
    """
