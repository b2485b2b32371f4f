"""Loads the declarations of the package that READSIDE_MODELS names; and how such a package names them."""

from __future__ import annotations

import importlib

from cdc.errors import Fatal
from projectors.declaration import DeclarationError
from projectors.read_model import Declarations, History, ReadModel
from projectors.rollup import Rollup


def load(package: str) -> Declarations:
    """The package's ``DECLARATIONS``; none at all for an empty name. Raises Fatal when it cannot be imported."""
    if not package:
        return Declarations()
    try:
        module = importlib.import_module(package)
    except ImportError as exc:
        raise Fatal(f"READSIDE_MODELS={package} cannot be imported: {exc}; is it on PYTHONPATH?") from exc
    declarations = getattr(module, "DECLARATIONS", None)
    if not isinstance(declarations, Declarations):
        raise Fatal(f"READSIDE_MODELS={package} has no DECLARATIONS = Declarations(…); see projectors/read_models")
    return declarations


def declared_in(package: str, *modules: str) -> Declarations:
    """Every read model, history and rollup that these modules of a package declare. Raises DeclarationError for none."""
    found: dict[int, object] = {}
    for name in modules:
        module = importlib.import_module(f"{package}.{name}")
        here = [value for value in vars(module).values() if isinstance(value, ReadModel | History | Rollup)]
        if not here:
            raise DeclarationError(f"{module.__name__} declares nothing: give it a ReadModel, a History or a Rollup")
        found |= {id(value): value for value in here}  # one that another module imports is still one
    values = found.values()
    return Declarations(
        read_models=tuple(value for value in values if isinstance(value, ReadModel)),
        histories=tuple(value for value in values if isinstance(value, History)),
        rollups=tuple(value for value in values if isinstance(value, Rollup)),
    )
