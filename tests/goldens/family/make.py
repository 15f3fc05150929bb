"""Make the family's golden files: other people's code for NSA, MoBA, DSA, CSA and HCA, on CPU.

    python -m venv ENV
    ENV/bin/pip install torch==2.13.0 numpy einops==0.8.2 triton==3.7.1 transformers==5.23.0
    ENV/bin/pip install --no-deps flash-linear-attention==0.6.0 fla-core==0.6.0
    ENV/bin/python tests/goldens/family/make.py --out DIR [--seed N] [--case NAME ...]
    ENV/bin/python tests/goldens/family/make.py --out DIR --against tests/goldens/family

README.md says what is in the files and what they leave out. Nothing of this project is imported.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from deepseek_cases import CSA, HCA, make_dsa, make_v4
from fla_cases import make_dsa_naive, make_moba, make_nsa

PACKAGES = ("torch", "transformers", "flash-linear-attention")


LATENT = {"d_model": 20, "H": 4, "q_rank": 12, "B": 2}
DSA = LATENT | {"T": 41, "kv_rank": 10, "plain": 6, "rot": 4, "dv": 5, "HI": 8, "di": 9}
CSA_SIZES = {"kind": CSA, "T": 38, "ratio": 4, "c": 16, "rot": 6, "window": 7, "HI": 8, "di": 10}
HCA_SIZES = {"kind": HCA, "T": 45, "ratio": 8, "c": 14, "rot": 6, "window": 5}
NSA = {"B": 1, "T": 37, "G": 2, "H": 32, "d": 4, "dv": 3, "block_size": 4, "window": 6}
MOBA = {"T": 45, "H": 3, "d": 8, "block_size": 6}
CASES = {
    "nsa": (make_nsa, NSA | {"top_k": 5}),
    "moba": (make_moba, MOBA | {"top_k": 3}),
    "moba_own_block": (make_moba, MOBA | {"top_k": 1}),
    "dsa": (make_dsa, DSA | {"top_k": 7}),
    "dsa_over": (make_dsa, DSA | {"top_k": 50}),
    "dsa_naive": (
        make_dsa_naive,
        {"B": 2, "T": 33, "H": 4, "G": 2, "d": 6, "HI": 9, "di": 5, "top_k": 9},
    ),
    "csa": (make_v4, LATENT | CSA_SIZES | {"top_k": 3}),
    "csa_over": (make_v4, LATENT | CSA_SIZES | {"top_k": 20}),
    "hca": (make_v4, LATENT | HCA_SIZES),
}


@torch.no_grad()
def make_case(name, seed):
    """The arrays of one golden file by name."""
    make, case = CASES[name]
    arrays = make(case, torch.Generator().manual_seed(seed))
    about = {"case": name, "seed": seed} | {package: version(package) for package in PACKAGES}
    stored = {key: value.numpy() for key, value in arrays.items() if not key.startswith("w.o_")}
    return {"cfg_json": np.array(json.dumps(about | case))} | stored


def difference(mine, theirs):
    """Largest difference of two golden files' floats; names, ids (as sets) and masks are equal."""
    if set(mine) != set(theirs):
        raise SystemExit(f"different keys: {sorted(set(mine) ^ set(theirs))}")
    largest = 0.0
    for key in sorted(set(mine) - {"cfg_json"}):
        a, b = (np.sort(x) if x.dtype.kind == "i" else x for x in (mine[key], theirs[key]))
        if a.dtype.kind == "f":
            np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b), key)
            a, b = (np.where(np.isfinite(x), x, 0) for x in (a, b))
            largest = max(largest, float(np.abs(a - b).max()))
        else:
            np.testing.assert_array_equal(a, b, key)
    return largest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--against", type=Path, help="folder of golden files to compare with")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.case:
        path = options.out / f"{name}_s{options.seed}.npz"
        arrays = make_case(name, options.seed)
        np.savez_compressed(path, **arrays)
        note = ""
        if options.against:
            with np.load(options.against / path.name) as other:
                note = f"  largest difference {difference(arrays, dict(other)):.1e}"
        print(f"{path.name}{note}")


if __name__ == "__main__":
    main()
