"""The comparison of two checkouts: what counts as slower, and as another result."""

import json
import sys
from pathlib import Path

import pytest

# The harness is no part of the package.
sys.path.insert(0, str(Path(__file__).parents[2] / "kernels"))

from bench import alternate, record


def compared(monkeypatch, tmp_path, old, new, *, bits="same"):
    """Rows written and exit status, for these milliseconds of the one case in each round."""
    runs = {tmp_path / "old": list(old), tmp_path / "new": list(new)}
    hashes = {tmp_path / "old": "same", tmp_path / "new": bits}
    out = tmp_path / "out.json"

    def run_child(tree):
        return {"case": [runs[tree].pop(0), hashes[tree]]}

    monkeypatch.setattr(alternate, "run_child", run_child)
    monkeypatch.setattr(record, "header", dict)
    words = [str(tmp_path / "old"), str(tmp_path / "new"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["alternate.py", *words, "--rounds", str(len(old))])
    with pytest.raises(SystemExit) as ended:
        alternate.main()
    [row] = json.loads(out.read_text())["rows"]
    return row, ended.value.code


@pytest.mark.parametrize(
    ("old", "new", "slower"),
    [
        (1.0, 1.029, False), (1.0, 1.031, True), (1.031, 1.0, False),  # more than 3 %
        (0.004, 0.0044, False), (0.004, 0.0046, True),  # more than 0.5 us
        (1.0, 1.0006, False),  # more than 0.5 us alone
    ],
)  # fmt: skip
def test_slower_is_by_more_than_noise(monkeypatch, tmp_path, old, new, slower):
    row, status = compared(monkeypatch, tmp_path, [old], [new])
    assert row["new_over_old"] == pytest.approx(new / old, abs=1e-4)
    assert status == ("slower: ['case']" if slower else 0)


def test_medians_are_compared_and_the_spread_is_told(monkeypatch, tmp_path):
    row, status = compared(monkeypatch, tmp_path, [1.0, 2.0, 1.1], [9.0, 1.1, 0.5])
    assert (row["old_ms"], row["new_ms"], row["spread"]) == (1.1, 1.1, 17.0)
    assert status == 0


@pytest.mark.parametrize("bits", ["same", "other"])
def test_other_bits_are_told(monkeypatch, tmp_path, bits):
    row, _ = compared(monkeypatch, tmp_path, [1.0], [1.0], bits=bits)
    assert row["same_bits"] == (bits == "same")
