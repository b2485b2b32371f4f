"""Loads the declarations of the package that READSIDE_MODELS names."""

from __future__ import annotations

import importlib

from cdc.errors import Fatal
from projectors.read_model import Declarations


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
