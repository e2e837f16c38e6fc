"""Decoders that misbehave at some clips; light to import, since they run in a child process."""

import os
import signal
import time

from transforms import crops


def fill_crops(*arguments):
    """One that crashes after a frame of group 001's fake, hangs at 002's, and eats memory at 003's."""
    path = next(argument for argument in arguments if isinstance(argument, str))
    for item in crops.fill_crops(*arguments):
        yield item
        if path.endswith("Deepfakes/raw/videos/001_000.mp4"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if path.endswith("Deepfakes/raw/videos/002_001.mp4"):
            time.sleep(600)
        if path.endswith("Deepfakes/raw/videos/003_001.mp4"):
            bytearray(6 << 30)
