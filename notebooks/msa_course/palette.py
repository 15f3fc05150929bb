"""One set of colours and one style for every figure: Okabe-Ito, safe for colour-blind readers."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.style
from matplotlib.colors import ListedColormap

HIDDEN = "#F0F0F0"
VISIBLE = "#56B4E9"
CHOSEN = "#0072B2"
FORCED = "#E69F00"
MISSED = "#D55E00"
FORCED_HATCH = "////"
INK = "#222222"
GREY = "#767676"
CONTINUOUS = "cividis"
STATES = ListedColormap([HIDDEN, VISIBLE, CHOSEN, FORCED])
LINES = (CHOSEN, FORCED, "#009E73", "#CC79A7", MISSED, VISIBLE)

STYLE = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": mpl.cycler(color=LINES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "font.size": 10,
    "hatch.linewidth": 0.6,
    "image.cmap": CONTINUOUS,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def use_style() -> None:
    """Give matplotlib's global settings the lessons' style, whatever style was in use before."""
    mpl.style.use(["default", STYLE])
