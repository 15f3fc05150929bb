"""How far apart two colours are for readers with and without a colour blindness."""

import numpy as np
from matplotlib.colors import to_rgb

SIGHTS = (None, "protanopia", "deuteranopia", "tritanopia")

# Machado, Oliveira, Fernandes 2009: linear-RGB matrices at full severity.
_BLINDNESS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def as_seen(colour: str, blindness: str | None) -> np.ndarray:
    """CIE Lab coordinates of a colour as a reader with this colour blindness (or none) sees it."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    if blindness is not None:
        linear = np.clip(np.array(_BLINDNESS[blindness]) @ linear, 0, 1)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    x, y, z = np.array(to_xyz) @ linear / (0.95047, 1.0, 1.08883)
    fx, fy, fz = (
        c ** (1 / 3) if c > 216 / 24389 else (24389 / 27 * c + 16) / 116 for c in (x, y, z)
    )
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def distance(one: str, other: str, blindness: str | None = None) -> float:
    """Euclidean distance of two colours in CIE Lab, as seen; below about 10 they are confused."""
    return float(np.linalg.norm(as_seen(one, blindness) - as_seen(other, blindness)))
