"""One style of plots, pages and pictures for training's reports; the same numbers give the same bytes."""

import io
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH, _DPI = 4.4, 180
_LONGEST = 22
_JPEG_QUALITY = 82
# Okabe and Ito's palette.
BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
)


@dataclass(frozen=True)
class Scheme:
    """Colours of ink, paper, what is of no weight, and of series."""

    ink: str
    faint: str
    paper: str
    none: str
    series: tuple[str, ...]


LIGHT = Scheme("#24292f", "#d5dae0", "#ffffff", "#b6bcc4", (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY))
DARK = Scheme("#dfe3e8", "#3a4149", "#1b1f24", "#5d656e", (SKY, ORANGE, GREEN, PURPLE, VERMILLION, BLUE))


@dataclass(frozen=True)
class Plot:
    """A plot on light and on dark paper (PNG), with what it shows in words."""

    name: str
    alt: str
    light: bytes
    dark: bytes


def plot(name: str, alt: str, height: float, paint: Callable[[Any, Scheme], None]) -> Plot:
    """Draw a plot in both schemes.

    Args:
      name: of its file.
      alt: what it shows.
      height: inches; it is 4.4 wide.
      paint: draws on matplotlib axes, with a scheme's colours.
    """
    return Plot(name, alt, _draw(height, LIGHT, paint), _draw(height, DARK, paint))


def _draw(height: float, scheme: Scheme, paint: Callable[[Any, Scheme], None]) -> bytes:
    style = {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.edgecolor": scheme.faint,
        "axes.facecolor": scheme.paper,
        "axes.labelcolor": scheme.ink,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.facecolor": scheme.paper,
        "grid.color": scheme.faint,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "text.color": scheme.ink,
        "text.parse_math": False,
        "xtick.color": scheme.ink,
        "ytick.color": scheme.ink,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        paint(axes, scheme)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def head(axes: Any, title: str, columns: int) -> None:
    """A plot's title, and under it the legend."""
    entries = len(axes.get_legend_handles_labels()[0])
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=5 + 13 * -(-entries // columns))
    if entries:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=columns,
            borderpad=0,
            borderaxespad=0.4,
            handlelength=1.6,
        )


def short(text: str) -> str:
    """A name that a plot has room for, without letters that its font lacks."""
    shown = "".join(c if c.isprintable() and ord(c) < 0x2000 else "?" for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def as_jpeg(image: Image) -> bytes:
    """A picture (H, W, 3), RGB, as JPEG."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def as_png(image: Image) -> bytes:
    """A picture (H, W, 3), RGB, as PNG."""
    return _encode(".png", image, [])


def _encode(suffix: str, image: Image, how: list[int]) -> bytes:
    data: bytes = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), how)[1].tobytes()
    return data


def render(template: str, **values: Any) -> bytes:
    """A page of a template of this package, which loads nothing from elsewhere."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": _data_uri, "count": "{:,}".format}
    html = environment.get_template(template).render(light=LIGHT, dark=DARK, **values)
    return html.encode("utf-8", "backslashreplace")


def _data_uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"
