"""Processes that end with the one that started them, however that one ends."""

import os
import select
import socket
import threading


def end_with(peer: int) -> None:
    """End this process at once when the other end of a connected socket is closed.

    The kernel closes it when the process that holds it is killed, too. Without this, a process that computes
    or hangs would go on, and go on writing, after the run that it belongs to.

    Args:
      peer: descriptor of the socket; others may read from it.
    """
    hung_up = select.poll()
    hung_up.register(peer, 0)  # A hang-up is reported without being asked for; data is not.

    def wait() -> None:
        hung_up.poll()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def end_with_parent() -> None:
    """End this process at once when the one that started it ends.

    A worker that lost its runner would go on with all that it was given, beside the one that replaces it.
    """
    parent = os.getppid()
    descriptor = os.pidfd_open(parent)
    if os.getppid() != parent:
        os._exit(1)
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)

    def wait() -> None:
        ended.poll()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def listen() -> tuple[socket.socket, str]:
    """A socket, and the name that `hold` finds it by; closing it ends the processes that hold on to it.

    It is never accepted from: a connection that waits is closed with the socket. Its name is not a file's.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen(1024)
    return listener, listener.getsockname()[1:].decode()


def hold(name: str) -> None:
    """End this process when the socket of that name is closed; at once if it is closed already."""
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.connect(f"\0{name}")
    except OSError:
        os._exit(1)
    end_with(peer.detach())
