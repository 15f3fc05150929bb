"""Rows of a measured record, found by their values."""

from __future__ import annotations


def find(rows: list[dict], **key) -> list[dict]:
    """The rows that have all these values; what a row lacks counts as None."""
    return [row for row in rows if all(row.get(name) == value for name, value in key.items())]
