"""Label Studio's run-length code of painted masks."""

from collections.abc import Sequence

import numpy as np

# Bits of a value, and of the lengths of runs in their four classes; what Label Studio's own editor writes.
_WORD = 8
_LENGTHS = (3, 4, 8, 16)
_LONGEST = 1 << 16
_CHANNELS = 4


def encode(alpha: np.ndarray) -> list[int]:
    """Encode a mask as the `rle` of a brush region.

    The code is that of thi.ng/rle-pack: 32 bits for the number of values, 5 for the size of a value less 1,
    four times 4 for the sizes of lengths less 1; then runs: a bit that says that it is one, 2 bits for the
    class of its length, the length less 1, the value. Label Studio packs RGBA, row by row.

    Args:
      alpha: (height, width) uint8, 0 to 255; Label Studio shows what is not 0. Bool counts as 0 and 255.

    Returns:
      Bytes as ints, 0 to 255.
    """
    flat = np.ascontiguousarray(alpha).ravel()
    flat = np.where(flat, 255, 0).astype(np.uint8) if flat.dtype == bool else flat.astype(np.uint8)
    bits = [f"{flat.size * _CHANNELS:032b}{_WORD - 1:05b}", *(f"{length - 1:04b}" for length in _LENGTHS)]
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] + np.uint8(1)))
    for start, end in zip(starts, [*starts[1:], flat.size], strict=True):
        left = int(end - start) * _CHANNELS
        while left:
            run = min(left, _LONGEST)
            size = next(i for i, length in enumerate(_LENGTHS) if run <= 1 << length)
            bits.append(f"1{size:02b}{run - 1:0{_LENGTHS[size]}b}{int(flat[start]):0{_WORD}b}")
            left -= run
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def decode(rle: Sequence[int], height: int, width: int) -> np.ndarray:
    """Decode the `rle` of a brush region; the inverse of `encode`.

    Strokes that were drawn in the editor have soft edges: threshold what comes back.

    Returns:
      (height, width) uint8, the alpha of each pixel.

    Raises:
      ValueError: if it is truncated, of another size, or no such code.
    """
    try:
        octets = np.array([int(value) for value in rle], np.int64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("the run-length code holds something else than numbers") from None
    if octets.size and not 0 <= octets.min() <= octets.max() <= 255:
        raise ValueError("the run-length code holds numbers that are no bytes")
    bits = np.unpackbits(octets.astype(np.uint8))
    text = bits.astype("S1").tobytes()
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(text):
            raise ValueError(f"the run-length code ends after {len(octets)} bytes, too early")
        place += count
        return int(text[place - count : place], 2)

    total, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    if total != height * width * _CHANNELS or word != _WORD:
        raise ValueError(
            f"the run-length code holds {total} values of {word} bits, not {height}x{width} RGBA"
        )
    values, done = np.empty(total, np.uint8), 0
    while done < total:
        is_run = take(1)
        count = take(lengths[take(2)]) + 1
        if count > total - done:
            raise ValueError(f"the run-length code holds more than its {total} values")
        if is_run:
            values[done : done + count] = take(_WORD)
        else:
            part = bits[place : place + count * _WORD]
            if part.size < count * _WORD:
                raise ValueError(f"the run-length code ends after {len(octets)} bytes, too early")
            values[done : done + count] = np.packbits(part)
            place += count * _WORD
        done += count
    return values[_CHANNELS - 1 :: _CHANNELS].reshape(height, width)
