"""The online-softmax stepper: one row of scores read chunk by chunk, and all it keeps in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NUM_KEYS = 12
CHUNKS = (1, 2, 3, 4, 6, 12)
_RISING = np.array([-1.5, -1.1, -0.9, -0.4, 0.0, 0.3, 0.8, 1.0, 1.5, 1.9, 2.2, 2.7])
_NEEDLE = np.array([0.2, -0.6, 0.4, -0.2, 0.1, -0.9, -0.3, 2.9, 0.3, -0.5, 0.0, -0.4])
_GAPS = np.array([0.6, 0.1, -0.5, 0.2, -0.8, 0.9, 0.3, -0.1, 1.2, 0.7, 1.7, 0.4])
_HIDDEN_KEYS = [0, 1, 2, 3, 8, 9]
CASES = {
    "one needle": _NEEDLE,
    "rising scores": _RISING,
    "falling scores": _RISING[::-1],
    "empty chunks": np.where(np.isin(np.arange(NUM_KEYS), _HIDDEN_KEYS), -np.inf, _GAPS),
}
VALUES = np.array([0.1, 0.5, 0.3, -0.2, 0.4, 0.0, 0.6, 0.9, -0.3, 0.2, -0.4, 0.7])


class Trace(NamedTuple):
    """What one row keeps after each step, and the step looked at; entry 0 is before the first.

    `stops` counts the keys read, `rescale` is the factor by which the step multiplied the old sum.
    """

    step: int
    scores: np.ndarray
    stops: np.ndarray
    peak: np.ndarray
    rescale: np.ndarray
    total: np.ndarray
    weighted: np.ndarray

    @property
    def last_step(self) -> int:
        """The step after which every key is read."""
        return len(self.stops) - 1

    @property
    def out(self) -> np.ndarray:
        """The running output, weighted / total; NaN while nothing visible is read."""
        return self.weighted / np.where(self.total == 0, np.nan, self.total)


def read_chunk(peak, total, weighted, scores, values):
    """Peak, sum and weighted sum of one row after one more chunk, which may be hidden: all -inf.

    The old sums shrink by exp(old peak - new peak). While nothing has been seen the peak stays
    -inf, and 0 is subtracted instead: -inf - -inf would be NaN.
    """
    new_peak = max(peak, scores.max())
    shift = 0.0 if new_peak == -np.inf else new_peak
    rescale = np.exp(peak - shift)
    exponentials = np.exp(scores - shift)
    total = total * rescale + exponentials.sum()
    weighted = weighted * rescale + exponentials @ values
    return new_peak, total, weighted


def compute(step: int, chunk: int, case: str) -> Trace:
    """The running peak, sum and weighted sum of a case, read `chunk` keys at a time.

    A `step` beyond the last is the last.
    """
    scores = CASES[case]
    states = [(0, -np.inf, 1.0, 0.0, 0.0)]
    for start in range(0, NUM_KEYS, chunk):
        part = slice(start, start + chunk)
        _, peak, _, total, weighted = states[-1]
        state = read_chunk(peak, total, weighted, scores[part], VALUES[part])
        rescale = np.exp(peak - state[0]) if np.isfinite(peak) else 1.0
        states.append((min(start + chunk, NUM_KEYS), state[0], rescale, *state[1:]))
    columns = (np.array(column) for column in zip(*states))
    return Trace(min(step, len(states) - 1), scores, *columns)


def describe(trace: Trace) -> str:
    """What happened in this step, in one to three sentences."""
    step = trace.step
    if step == 0:
        return "Nothing is read yet: the peak is -inf, the sum and the weighted sum are 0."
    start, stop = trace.stops[step - 1], trace.stops[step]
    joint = " and " if stop - start == 2 else " to "
    keys = f"key {start}" if stop - start == 1 else f"keys {start}{joint}{stop - 1}"
    before, peak = trace.peak[step - 1], trace.peak[step]
    old, rescale, total = trace.total[step - 1], trace.rescale[step], trace.total[step]
    text = f"Step {step} of {trace.last_step} reads {keys}"
    if np.isneginf(trace.scores[start:stop]).all() and np.isneginf(peak):
        text += (
            ": all hidden, so the peak stays -inf and both sums stay 0. "
            "The shrink factor must not be computed as exp(-inf - -inf), which is NaN."
        )
    elif np.isneginf(trace.scores[start:stop]).all():
        text += ": all hidden, so nothing changes."
    elif np.isneginf(before):
        text += f": the first peak is {peak:.2f} and the sum is {total:.3f}."
    elif peak > before:
        text += (
            f": a new peak, {peak:.2f}. The old sum {old:.3f} shrinks by the factor "
            f"{rescale:.3f} to {old * rescale:.3f}, and the new keys add "
            f"{total - old * rescale:.3f}."
        )
    else:
        text += (
            f": no score is above the peak {peak:.2f}, so nothing shrinks. "
            f"The new keys add {total - old:.3f} to the sum, now {total:.3f}."
        )
    if step == trace.last_step:
        return (
            text + f" All keys are read: the output {trace.out[-1]:.3f} is the softmax's, exactly."
        )
    if total > 0:
        text += f" The output so far is {trace.out[step]:.3f}; it will end at {trace.out[-1]:.3f}."
    return text
