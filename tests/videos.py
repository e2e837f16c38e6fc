"""Small real videos for tests, and what ffmpeg itself shows of them."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np


def numbered_frames(count: int, width: int = 160, height: int = 120) -> list[np.ndarray]:
    """Frames that tell their number (a bar of that length) and their orientation (corners differ)."""
    frames = []
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    for number in range(count):
        frame = np.stack([x, y, np.full_like(x, 40)], 2).astype(np.uint8)
        frame[: height // 4, : width // 4] = (255, 255, 0)
        frame[-height // 6 :, : 2 * number + 2] = 255
        frames.append(frame)
    return frames


def write_video(
    path: Path, frames, *, fps: int = 25, crf: int = 10, options=None, times=None, pix_fmt="yuv420p"
):
    """H.264 of RGB frames; `times` in milliseconds makes the rate variable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.options = {"crf": str(crf), "threads": "1", **(options or {})}
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def rotate(source: Path, target: Path, degrees: int) -> Path:
    """The same stream with a display rotation (anticlockwise)."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        stream.set_display_rotation(degrees)
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    return target


def ffmpeg_frames(path: Path, width: int, height: int) -> np.ndarray:
    """Every coded frame as ffmpeg shows it: (n, height, width, 3) uint8 RGB."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough",
        "-sws_flags", "bilinear", "-f", "rawvideo", "-pix_fmt", "rgb24", "-",
    ]  # fmt: skip
    raw = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
