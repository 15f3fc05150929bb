"""The explorer's link to Python: it asks, a rule of the reader's own answers."""

from __future__ import annotations

from collections.abc import Callable

from msa_course.choosing_k.block_selection import BLOCK_SIZE, FIRST_QUERY, scene
from msa_course.choosing_k.block_selection_figure import MODULE
from msa_course.live import source

VIEW = "application/vnd.jupyter.widget-view+json"


def answer(rule: Callable, asked: dict) -> dict:
    """The rule's block ids, ascending, or the local block alone and what went wrong."""
    local = asked["query"] // BLOCK_SIZE
    scores = scene().block_scores[asked["group"], asked["query"] - FIRST_QUERY, : local + 1]
    try:
        ids = sorted({int(block) for block in rule(scores.copy(), local, asked["top_k"])} - {-1})
        wrong = [block for block in ids if not 0 <= block <= local]
        if wrong or not ids:
            raise ValueError(f"got blocks {wrong or ids}, expected some of 0 to {local}")
        error = ""
    except Exception as caught:  # the reader's rule may do anything
        ids, error = [local], f"{type(caught).__name__}: {caught}"
    return {"settings": dict(asked), "ids": ids, "error": error}


def widget(rule: Callable, data: dict, first: dict):
    """The widget that asks this rule, or None where anywidget is not installed."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class OwnRule(anywidget.AnyWidget):
        _esm = source(MODULE) + "\nexport default { render };"
        data = traitlets.Dict().tag(sync=True)
        asked = traitlets.Dict().tag(sync=True)
        answer = traitlets.Dict().tag(sync=True)

        @traitlets.observe("asked")
        def _ask(self, change):
            self.answer = answer(rule, change.new)

        def bundle(self, text):
            """What is displayed: the live view, and a text where there is none."""
            shown = self._repr_mimebundle_()
            view = shown[0] if isinstance(shown, tuple) else shown
            return {VIEW: view[VIEW], "text/plain": text}

    return OwnRule(data=data, answer=first)
