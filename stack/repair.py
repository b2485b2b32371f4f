"""``readside verify --repair``: says what it will do, asks, does it, and waits until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

import httpx
import psycopg
import typer

from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.serving import rebuilds
from projectors.verification import results
from projectors.verification.comparing import Verdict, verify
from projectors.verification.oracles import Recomputation
from projectors.verification.repairing import REASON, ask_rebuild, is_rebuilt
from stack import verification
from stack.errors import StackError
from stack.snapshot import take_snapshot
from stack.terminal import talk

_LOOK_S = 0.5
_LONGEST_S = 3_600.0  # of a snapshot or a rebuild


def repair(settings: Settings, verdicts: Sequence[Verdict], *, assumed: bool) -> list[str]:
    """Make equal what these say differs; the names of what was worked on, none when it is not wanted. Raises StackError."""
    differing = [verdict for verdict in verdicts if verdict.differences]
    try:
        with closing(results.connected(settings)) as store:
            if lost := _lost(settings, differing):
                talk.print(
                    f"the mirror differs from the source ({', '.join(lost)}): a fresh snapshot of every captured table is "
                    "taken, and both stores load what it changes; reads go on"
                )
                if not _wanted(assumed=assumed):
                    return []
                _snapshot(settings)
                names = [verdict.model for verdict in differing if not verdict.model.startswith("mirror.")]
                left = verification.verdicts_of(settings, names) if names else []
                differing = [verdict for verdict in left if verdict.differences]
                assumed = True
            return [*lost, *_rebuild(settings, store, differing, assumed=assumed)]
    except ReadsideError as exc:
        raise StackError(str(exc)) from exc
    except (psycopg.OperationalError, httpx.HTTPError) as exc:
        raise StackError(f"a store does not answer ({type(exc).__name__}); see `readside status`") from exc


def _lost(settings: Settings, differing: Sequence[Verdict]) -> list[str]:
    """The mirrored tables that differ; and models of the analytics store that are what their own mirror says."""
    tables = [verdict.model for verdict in verification.mirrored_verdicts_of(settings) if verdict.differences]
    models = {model.name: model for model in registry.load(settings.models).maintained}
    right_of_wrong = [
        verdict.model
        for verdict in differing
        if not is_rebuilt(verdict.store) and not verify(settings, Recomputation(models[verdict.model])).differences
    ]
    return sorted({*tables, *right_of_wrong})


def _rebuild(
    settings: Settings, store: results.Connection, differing: Sequence[Verdict], *, assumed: bool
) -> list[str]:
    names = [verdict.model for verdict in differing if is_rebuilt(verdict.store)]
    if others := [verdict.model for verdict in differing if not is_rebuilt(verdict.store)]:
        talk.print(f"models of the analytics store are built anew by `readside rebuild {' '.join(others)}`")
    if not names:
        return []
    talk.print(f"built anew from the mirror, beside what is read meanwhile: {', '.join(names)}")
    if not _wanted(assumed=assumed):
        return []
    rebuild = ask_rebuild(settings, store, names)

    def swapped() -> bool:
        now = rebuilds.by_id(store, rebuild)
        if now.state in ("cancelled", "failed", "rolled back"):
            raise StackError(
                f"the rebuild is {now.state}: {now.why or 'no reason is noted'}; see projector-serving.log"
            )
        return now.state == "swapped"

    _await(swapped, "the rebuild")
    return names


def _snapshot(settings: Settings) -> None:
    generation = take_snapshot(settings, REASON)
    with httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=10.0, trust_env=False) as analytics:

        def loaded() -> bool:
            state = analytics.get("/state").raise_for_status().json()["state"]
            return state.get("generation", 1) >= generation

        _await(loaded, "the snapshot in the analytics store")


def _await(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _LONGEST_S
    while not holds():
        if time.monotonic() > deadline:
            raise StackError(f"{what} is not there after {_LONGEST_S / 60:.0f} minutes; see `readside status`")
        time.sleep(_LOOK_S)
    talk.print(f"{what} is in place")


def _wanted(*, assumed: bool) -> bool:
    return assumed or typer.confirm("Go on?", err=True)
