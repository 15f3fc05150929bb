"""A figure as the lessons store it: 200 dpi, at most 256 colours, with a sentence for its text."""

from __future__ import annotations

import base64
import io

import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 200
COLOURS = 256
NEARLY_WHITE = 250  # of 255: the quick way to few colours may miss white by a little


def new_figure(width: float, height: float, layout: str = "constrained") -> Figure:
    """An empty figure of this size in inches, in the lessons' style, outside pyplot's state."""
    fig = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def to_png(fig: Figure) -> str:
    """The figure as base64 of a PNG of at most 256 colours."""
    fig.set_dpi(DPI)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image = image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(image.getpalette())
    image.putpalette(np.where(palette > NEARLY_WHITE, 255, palette).tolist())
    stream = io.BytesIO()
    image.save(stream, format="png", compress_level=6)
    return base64.b64encode(stream.getvalue()).decode()


def show(fig: Figure, sentence: str) -> None:
    """Displays the figure; the sentence says what it shows to who cannot see it."""
    width = round(fig.get_figwidth() * 100)
    display(
        {"image/png": to_png(fig), "text/plain": f"Figure: {sentence}"},
        metadata={"image/png": {"alt": sentence, "width": width}},
        raw=True,
    )
