"""Runs the shape annotations of msa_ref: `pytest --shapes` checks them on every call.

The package imports jaxtyping only for type checkers, so that NumPy is all it needs. Here it is
imported as a type checker would see it, and jaxtyping's import hook has beartype check each call.
"""

import importlib
import pkgutil
import typing

import beartype
import jaxtyping
import numpy as np

# NumPy's scalars pass for Python's, and integers for floats, as in the package's own checks.
check = beartype.beartype(
    conf=beartype.BeartypeConf(
        hint_overrides=beartype.FrozenDict(
            {
                bool: bool | np.bool,
                int: int | np.integer,
                float: float | int | np.floating | np.integer,
            }
        )
    )
)


@jaxtyping.jaxtyped(typechecker=check)
def _load_the_checkers(x: "int") -> "int":
    return x


def install(name="msa_ref"):
    """Import a package, every module of it, with its annotations checked."""
    _load_the_checkers(1)  # whatever they import late must not see TYPE_CHECKING as true
    typing.TYPE_CHECKING = True
    try:
        with jaxtyping.install_import_hook(name, "shape_hook.check"):
            package = importlib.import_module(name)
            for module in pkgutil.walk_packages(package.__path__, f"{name}."):
                importlib.import_module(module.name)
    finally:
        typing.TYPE_CHECKING = False
