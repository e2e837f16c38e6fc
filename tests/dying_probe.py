"""A probe that dies of some files; light to import, since it runs in a child process."""

import os
import signal

from transforms.indexing import probe


def watch(path):
    if path.endswith("c40/videos/001.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.endswith("c40/videos/002.mp4"):
        raise TypeError("a bug")
    yield from probe.watch(path)
