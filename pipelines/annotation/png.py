"""What a PNG says of itself before it is decoded."""

import struct

_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG in pixels, from its header alone; None where it is no PNG.

    A few kilobytes can decode to gigabytes, so sizes are compared before anything is decoded.
    """
    if not data.startswith(_START) or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height
