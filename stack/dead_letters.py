"""``readside dead-letters``: changes that are parked in either store; what to do with them is the projectors' work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import httpx

from config.settings import Settings
from projectors.letters import place_of
from projectors.serving.letters import ask_for, stored_counts, stored_letters
from stack import terminal
from stack.errors import StackError
from stack.serving_store import connected
from stack.terminal import Output, data, talk

Letter = dict[str, Any]
Action = Literal["retry", "drop"]

_WAIT_S = 5.0  # a projector looks twice a second what is asked of it
_LOOK_S = 0.25
_COLUMNS = ("id", "store", "table", "reason")


def show_all(settings: Settings, *, output: Output | None) -> int:
    """List them, in the order in which they would be applied."""
    letters = _letters(settings)
    if terminal.chosen(output) == "json":
        terminal.print_json(letters)
    else:
        data.print(terminal.table(_COLUMNS, [[letter[name] for name in _COLUMNS] for letter in letters]))
        talk.print(
            f"{len(letters)} dead letters" + ("; see `readside dead-letters show ID`" if letters else ""), style="dim"
        )
    return 1 if letters else 0


def show(settings: Settings, name: str, *, output: Output | None) -> int:
    """Everything about one that holds no value, from each store that has it."""
    found = _named(_letters(settings), [name], store=None)
    if terminal.chosen(output) == "json":
        terminal.print_json(found)
        return 0
    for letter in found:
        data.print(terminal.table(("", ""), letter.items()))
    return 0


def show_counts(settings: Settings, *, output: Output | None) -> int:
    """What became of every record read, by store and partition. Exit code 1 when they do not add up."""
    rows: list[dict[str, Any]] = [
        {"store": store, **count, "ignored": sum(count["ignored"].values()), "reasons": count["ignored"]}
        for store, of in _stores(settings).items()
        for count in of["counts"]
    ]
    wrong = [row for row in rows if row["read"] != row["applied"] + row["parked"] + row["ignored"]]
    if terminal.chosen(output) == "json":
        terminal.print_json(rows)
    else:
        columns = ("store", "topic", "partition", "read", "applied", "parked", "ignored")
        cells = [
            [*(row[name] for name in columns), ", ".join(f"{count} {why}" for why, count in row["reasons"].items())]
            for row in sorted(rows, key=lambda row: (row["store"], row["topic"], row["partition"]))
        ]
        shown = terminal.table((*columns, ""), cells)
        shown.columns[1].overflow = "fold"  # of topics that begin alike, the end tells which it is
        data.print(shown)
    if wrong:
        talk.print(f"{len(wrong)} partitions do not add up: this is a bug of readside; please report it")
    return 1 if wrong else 0


def settle(settings: Settings, names: Sequence[str], action: Action, *, store: str | None, everything: bool) -> int:
    """Have the projectors retry or drop letters, and wait until they have. Exit code 1 when some are still there."""
    if bool(names) == everything:
        raise StackError("name the dead letters, or take all of them with --all; see `readside dead-letters list`")
    letters = _letters(settings)
    chosen = _named(letters, names, store) if names else [each for each in letters if store in (None, each["store"])]
    for each in {letter["store"] for letter in chosen}:
        of_store = [letter for letter in chosen if letter["store"] == each]
        (_ask_serving if each == "serving" else _ask_analytics)(settings, of_store, action)
    left = _await(lambda: _left(settings, chosen))
    done = len(chosen) - len(left)
    talk.print(f"{done} of {len(chosen)} {'applied' if action == 'retry' else 'dropped'}")
    for letter in left:
        talk.print(f"{letter['id']} in {letter['store']} is still parked: {letter['reason']}", markup=False)
    return 1 if left else 0


def _await(look: Callable[[], list[Letter]]) -> list[Letter]:
    """Look until nothing is left, or nothing has happened for a while."""
    left = look()
    deadline = time.monotonic() + _WAIT_S
    while left and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        before, left = left, look()
        if left != before:
            deadline = time.monotonic() + _WAIT_S
    return left


def _left(settings: Settings, chosen: Iterable[Letter]) -> list[Letter]:
    there = {(letter["store"], letter["id"]): letter for letter in _letters(settings)}
    return [there[letter["store"], letter["id"]] for letter in chosen if (letter["store"], letter["id"]) in there]


def _letters(settings: Settings) -> list[Letter]:
    return [{**letter, "store": store} for store, of in _stores(settings).items() for letter in of["letters"]]


def _named(letters: Sequence[Letter], names: Sequence[str], store: str | None) -> list[Letter]:
    if wrong := [name for name in names if place_of(name) is None]:
        raise StackError(f"{wrong[0]} is not the id of a dead letter, which looks like topic[partition]@offset")
    found = [letter for letter in letters if letter["id"] in names and store in (None, letter["store"])]
    if missing := sorted(set(names) - {letter["id"] for letter in found}):
        raise StackError(f"nothing is parked under {', '.join(missing)}; see `readside dead-letters list`")
    return found


def _stores(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """What each store has, as the analytics endpoint tells it. Raises StackError when none of them answers."""
    told: dict[str, Mapping[str, Any]] = {}
    silent: list[StackError] = []
    for store, look in (("serving", _of_serving), ("analytics", _of_analytics)):
        try:
            told[store] = look(settings)
        except StackError as exc:
            silent.append(exc)
    if not told:
        raise silent[0]
    for exc in silent:
        talk.print(str(exc), markup=False)
    return told


def _of_serving(settings: Settings) -> Mapping[str, Any]:
    with connected(settings, "readside dead-letters") as connection:
        return {
            "letters": [letter.shown for letter in stored_letters(connection)],
            "counts": [
                {"topic": topic, "partition": number, **asdict(of)}
                for (topic, number), of in stored_counts(connection).items()
            ],
        }


def _of_analytics(settings: Settings) -> Mapping[str, Any]:
    answer = _http(settings, "GET")
    return answer.json() if answer.status_code == 200 else {"letters": [], "counts": []}  # its first load goes on


def _ask_serving(settings: Settings, letters: Sequence[Letter], action: Action) -> None:
    with connected(settings, "readside dead-letters") as connection:
        for letter in letters:
            place = place_of(letter["id"])
            assert place is not None
            ask_for(connection, place, action)


def _ask_analytics(settings: Settings, letters: Sequence[Letter], action: Action) -> None:
    wanted = [
        {name: letter[name] for name in ("topic", "partition", "offset")} | {"action": action} for letter in letters
    ]
    _http(settings, "POST", wanted)


def _http(settings: Settings, method: str, body: object = None) -> httpx.Response:
    try:
        answer = httpx.request(
            method, f"http://{settings.analytics_address}/dead-letters", json=body, timeout=10.0, trust_env=False
        )
    except httpx.HTTPError as exc:
        raise StackError(
            f"the analytics projector at {settings.analytics_address} does not answer ({type(exc).__name__}); "
            "see `readside status`"
        ) from exc
    if answer.is_error and answer.status_code != 503:
        raise StackError(f"the analytics projector refused: {answer.text}")
    return answer
