"""Whether the texts of a figure can be read against what lies behind them."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.text import Text

ENOUGH = 4.5  # WCAG's AA for small text
DPI = 50


def luminance(rgb):
    """Relative luminance of sRGB colours in 0..1, `[..., 3]`."""
    rgb = np.asarray(rgb)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(one, other):
    """WCAG's ratio of two luminances, 1 to 21."""
    low, high = sorted([one, other])
    return (high + 0.05) / (low + 0.05)


def low_contrast(fig):
    """(text, ratio) of every text whose contrast with the colour behind most of it is too low."""
    canvas = FigureCanvasAgg(fig)
    dpi = fig.dpi
    fig.set_dpi(DPI)
    canvas.draw()
    engine = fig.get_layout_engine()
    fig.set_layout_engine("none")  # or axes would grow over the labels that are hidden below
    texts = [text for text in fig.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [text.get_window_extent() for text in texts]
    for text in texts:
        text.set_visible(False)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    for text in texts:
        text.set_visible(True)
    fig.set_layout_engine(engine or "none")
    fig.set_dpi(dpi)
    found = []
    height, width = pixels.shape[:2]
    for text, box in zip(texts, boxes):
        x0, x1 = (int(np.clip(x, 0, width)) for x in (box.x0, box.x1 + 1))
        y0, y1 = (int(np.clip(y, 0, height)) for y in (height - box.y1, height - box.y0 + 1))
        behind = pixels[y0:y1, x0:x1].reshape(-1, 3)
        patch = text.get_bbox_patch()
        if patch is not None and patch.get_facecolor()[3] > 0.5:
            behind = np.array([patch.get_facecolor()[:3]])
        if len(behind):
            *ink, alpha = to_rgba(text.get_color(), text.get_alpha())
            under = np.median(behind, axis=0)
            ink = alpha * np.array(ink) + (1 - alpha) * under
            ratio = contrast(luminance(ink), luminance(under))
            if ratio < ENOUGH:
                found.append((text.get_text(), round(float(ratio), 1)))
    return found


def watch(figures, *others):
    """From now on `figures.to_png` refuses a figure that has text of low contrast.

    Likewise in `others`, which have imported it. While `figures.again` is true nothing is drawn.
    """
    unwatched = figures.to_png

    def to_png(fig):
        if figures.again:
            return ""
        found = low_contrast(fig)
        assert not found, f"too little contrast: {found}"
        return unwatched(fig)

    for module in (figures, *others):
        module.to_png = to_png
