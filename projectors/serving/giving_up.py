"""What becomes of a version that a batch cannot be computed for: it is given up where another one serves, or is to.

The next version fails alone, the former one is forgotten. An old one that is to be replaced is made anew at once from the
code's declaration, as one that nobody knows any more. What the code declares has to be right: there the store stops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import psycopg

from cdc.errors import Refused
from projectors.declaration import FORMER, NEXT, base_of
from projectors.refusal import Undo
from projectors.serving.kept import Kept
from projectors.serving.rebuilding import Rebuilding
from projectors.serving.swapping import forget_former

logger = logging.getLogger(__name__)


def give_up(
    connection: psycopg.Connection[Any],
    kept: Kept,
    rebuilding: Rebuilding,
    attempt: Callable[[Callable[[str], object]], None],
) -> bool:
    """Whether it was such a version that a batch was refused for, and it is given up.

    ``attempt``: tries the batch, telling the name of each declared table before it is computed; raises Refused, or Undo.
    """
    begun: list[str] = []
    try:
        attempt(begun.append)
    except Undo:
        return False
    except Refused as exc:
        return bool(begun) and _given_up(connection, kept, rebuilding, begun[-1], str(exc))
    return False


def _given_up(connection: psycopg.Connection[Any], kept: Kept, rebuilding: Rebuilding, name: str, why: str) -> bool:
    versions = kept.versions
    renewed = versions.renewed.get(name)
    if name.endswith(NEXT):
        rebuilding.fail(connection, f"{base_of(name)}: {why}")
    elif name.endswith(FORMER):
        rebuilding.take_up_after(lambda: forget_former(connection))
    elif renewed is not None and renewed.fingerprint != versions.kept[name].fingerprint:
        unknown = "update readside.declared set declaration = null where name = %(name)s"
        rebuilding.take_up_after(lambda: connection.execute(unknown, {"name": name}))
    else:
        return False
    logger.warning("a version is given up", extra={"action": "version_given_up", "model": name, "reason": why})
    return True
