"""Explorers that answer without a kernel: a stored picture, and a module of JavaScript over it."""

from __future__ import annotations

import base64
import json
from html import escape
from pathlib import Path

import numpy as np
from IPython.display import display

from msa_course.figures import to_png

SHARED = Path(__file__).with_name("live.mjs")
TYPES = {"uint8": "u8", "uint16": "u16", "int32": "i32", "float32": "f32"}
LEVELS = 2**16 - 1

# Runs where the script stands. The element of the explorer comes after it, and the picture that
# came before it, in an output of its own or in the page's, is hidden.
SCRIPT = """<script data-explorer="{name}" data-payload='{payload}'>(() => {{
{code}
const all = document.querySelectorAll('script[data-explorer="{name}"]');
const here = document.currentScript ?? all[all.length - 1];
const data = JSON.parse(here.dataset.payload), el = document.createElement("div");
here.after(el);
const output = here.closest(".jp-OutputArea-child, .output_area, .output > div, div.output");
const before = output?.previousElementSibling;
const nothing = () => {{}};
const model = {{ get: (key) => data[key], on: nothing, set: nothing, save_changes: nothing }};
render({{ model, el }});
if (before?.querySelector("img") && !before.querySelector("script")) before.hidden = true;
}})();</script>"""


def quantise(array: np.ndarray) -> dict:
    """A float array as 16-bit steps between its least and largest finite value, ready for JSON."""
    array = np.asarray(array, dtype=np.float64)
    low, high = float(array.min(initial=0.0)), float(array.max(initial=0.0))
    step = (high - low) / LEVELS or 1.0
    packed = pack(np.round((array - low) / step).astype(np.uint16))
    return packed | {"step": step, "offset": low}


def pack(array: np.ndarray) -> dict:
    """An array of uint8, uint16, int32 or float32, every bit of it, ready for JSON."""
    array = np.ascontiguousarray(array)
    if array.dtype.name not in TYPES:
        raise ValueError(f"array: got {array.dtype.name}, expected one of {', '.join(TYPES)}")
    data = base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
    return {"type": TYPES[array.dtype.name], "shape": list(array.shape), "data": data}


def source(module: Path) -> str:
    """The module's code with what all explorers share in front, without `export`s."""
    code = SHARED.read_text(encoding="utf-8") + module.read_text(encoding="utf-8")
    return code.replace("export default { render };", "").replace("export function", "function")


def html(module: Path, data: dict) -> str:
    """One script that builds the explorer where it stands, its numbers in `data-payload`."""
    payload = escape(json.dumps(data, separators=(",", ":")), quote=False).replace("'", "&#39;")
    return SCRIPT.format(name=module.stem, payload=payload, code=source(module))


def show_live(module: Path, data: dict, picture, sentence: str) -> None:
    """Displays the picture (a Figure) with the sentence as its text, then the explorer over it.

    Where scripts do not run, the picture stays.
    """
    display(
        {"image/png": to_png(picture), "text/plain": sentence},
        metadata={"image/png": {"alt": sentence}},
        raw=True,
    )
    text = "(an explorer: it is alive where scripts run)"
    display({"text/html": html(module, data), "text/plain": text}, raw=True)
