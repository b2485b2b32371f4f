"""What is wrong, and what to type next: the command that a reason names, or the one that looks closer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from config import lock
from queries.pipeline import Component, Health, Hop, State

_QUOTED = re.compile(r"`([^`]+)`")
_OURS = re.compile(r"(?<![\w-])(?:\./)?(readside (?!up\b)[a-z][a-z-]*(?: (?:list|show|retry|drop|counts))?)\b")
_LOG = re.compile(r"\b([a-z][\w-]*\.log)\b")
_UNSET = re.compile(r"\bREADSIDE_\w+ is not set\b")


@dataclass(frozen=True, slots=True)
class Ailment:
    """Parts of the pipeline that are not well, and one command for all of them."""

    state: State
    reasons: tuple[tuple[str, str], ...]  #: name and why
    command: str


def ailments(health: Health, data_dir: Path) -> list[Ailment]:
    """All that is wrong, what is down first; parts for which the same is to be typed are told together."""
    wrong = [each for each in (*health.components, *health.hops) if each.why]
    wrong.sort(key=lambda each: each.state != "down")
    by_command: dict[str, list[Component | Hop]] = {}
    for each in wrong:
        by_command.setdefault(remedy(each, data_dir), []).append(each)
    return [
        Ailment(parts[0].state, tuple(_distinct((part.name, part.why) for part in parts)), command)
        for command, parts in by_command.items()
    ]


def remedy(part: Component | Hop, data_dir: Path) -> str:
    """The command for one part; empty when it is well."""
    if not part.why:
        return ""
    if quoted := _QUOTED.search(part.why):
        return quoted[1].removeprefix("./")
    if lock.holder(data_dir) is None and ("readside up" in part.why or _UNSET.search(part.why)):
        return "readside up"  # or name in the settings where it runs
    if _UNSET.search(part.why):
        return "readside config"
    if (log := _LOG.search(part.why)) and (path := data_dir / "logs" / log[1]).exists():
        return f"tail -n 50 {path}"
    if ours := _OURS.search(part.why):
        return ours[1]
    return "readside doctor"


def _distinct(reasons: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """A component and its hop often have one reason: it is told once, under both names."""
    names: dict[str, list[str]] = {}
    for name, why in reasons:
        names.setdefault(why.removeprefix("Kafka ").removeprefix("Connect "), []).append(name)
    return ((", ".join(dict.fromkeys(of)), why) for why, of in names.items())
