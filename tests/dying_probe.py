"""Probes that die of some files; light to import, since they run in a child process."""

import os
import signal

from transforms import archive
from transforms.indexing import probe


def watch(path):
    if path.endswith("c40/videos/001.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if path.endswith("c40/videos/002.mp4"):
        raise TypeError("a bug")
    yield from probe.watch(path)


def scan(path):
    for found in archive.scan(path):
        yield found
        if found and path.endswith("12.tar.gz"):
            os._exit(9)
