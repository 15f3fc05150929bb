"""Rows of the record "learning": which methods there are, and needles as shares."""

from __future__ import annotations

from msa_course.records import find

# In the figures' order; dense is no method of choosing.
LABELS = {
    "learned": "learned index",
    "learned+sink": "learned, first block forced",
    "max": "exact max score",
    "mass": "exact mass",
    "mean": "mean key",
    "bound": "min/max bound",
    "window": "window",
}


def methods(rows: list[dict]) -> list[str]:
    """The methods these rows are about, in the figures' order."""
    found = {row["method"] for row in rows}
    return [name for name in LABELS if name in found]


def needle_rows(record: dict, **setting) -> list[dict]:
    """Needles of one setting, as shares of those tried."""
    rows = find(record["needles"], **setting)
    return [row | {"share": row["right"] / row["of"]} for row in rows]
