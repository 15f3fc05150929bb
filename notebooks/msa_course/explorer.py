"""The shell of every explorer: sliders, one picture, one sentence."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from html import escape
from typing import TypeVar

import ipywidgets as widgets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

State = TypeVar("State")


def new_figure(width: float, height: float, layout: str = "constrained") -> Figure:
    """An empty figure of this size in inches, in the lessons' style, outside pyplot's state.

    `layout="none"` leaves every axes where it is put and is drawn once instead of twice.
    """
    fig = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def to_png(fig: Figure) -> bytes:
    """The figure as PNG bytes."""
    stream = io.BytesIO()
    # Not savefig: it draws everything twice.
    fig.canvas.print_png(stream, metadata={"Software": None})
    return stream.getvalue()


class Explorer(widgets.VBox):
    """Sliders above a picture above one sentence; all three follow every move.

    A move runs `state = compute(**settings)` once; `draw(state)` gives the Figure and
    `describe(state)` the sentence. `settings` are the controls' values by argument name, `controls`
    ipywidgets with a `.value` and a description. Where no live widget can be shown (GitHub, a
    printed page) the picture stands in.
    """

    def __init__(
        self,
        title: str,
        compute: Callable[..., State],
        draw: Callable[[State], Figure],
        describe: Callable[[State], str],
        **controls: widgets.ValueWidget,
    ):
        self.title = title
        self.compute = compute
        self.draw = draw
        self.describe = describe
        self.controls = controls
        # In its own size, or smaller: stretched to the page's width it would be blurred.
        natural = widgets.Layout(max_width="100%", align_self="flex-start")
        self.picture = widgets.Image(format="png", layout=natural)
        self.sentence = widgets.HTML()
        for control in controls.values():
            control.style.description_width = "11em"
            control.layout.width = "min(32em, 95%)"
            control.observe(self._redraw, names="value")
        super().__init__([*controls.values(), self.picture, self.sentence])
        self._redraw()

    @property
    def settings(self) -> dict:
        """The controls' values by argument name."""
        return {name: control.value for name, control in self.controls.items()}

    def _redraw(self, change=None):
        self.show(self.compute(**self.settings))

    def show(self, state: State) -> None:
        """Show one state: its picture and its sentence."""
        self.picture.value = to_png(self.draw(state))
        text = self.describe(state)
        self.sentence.value = f"<p><b>In words.</b> {escape(text)}</p>"
        self.summary = f"{self.title}. {text}"

    def __repr__(self):
        return self.summary

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        data = dict(bundle[0] if isinstance(bundle, tuple) else bundle)
        data["text/plain"] = repr(self)
        data["image/png"] = b64encode(self.picture.value).decode()
        return data


def slider(description: str, value: int, smallest: int, largest: int, step: int = 1):
    """An integer slider that reports every step, by mouse or arrow keys."""
    return widgets.IntSlider(
        value, smallest, largest, step, description=description, continuous_update=True
    )


def choice(description: str, options, value):
    """A slider over a few named settings, worked by mouse or arrow keys."""
    return widgets.SelectionSlider(options=options, value=value, description=description)
