"""Versions of declared tables side by side: the one that serves, the next one that is built, the former one.

A store remembers the declaration that each of its tables was built from, so an old version is kept up although the code
declares it otherwise by now. Beside M lie M__next, until it takes M's place, and M__former, until nobody wants it back.
To the engine each is a declared table like any other; what it reads of its own set, it reads by the names there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from projectors.declaration import FORMER, NEXT, DeclarationError, base_of, is_declared, listed, renamed
from projectors.read_model import Declarations, Embed, History, ReadModel
from projectors.rollup import Rollup

Declared: TypeAlias = ReadModel | Rollup | History
KINDS: Final = {"read_model": ReadModel, "rollup": Rollup, "history": History}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A declared table as its store holds it."""

    fingerprint: str
    #: What it was built from; None where an earlier release did not remember it.
    declaration: Declared | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One table to keep up."""

    declaration: Declared  #: as the engine takes it: under the table's own name
    written: Declared  #: as its author wrote it
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What a store keeps up, by name, and what is to take the place of some of it."""

    kept: Mapping[str, Version]
    #: Of those that are built anew, each after what it reads: the next version by the name that it is to serve under.
    renewed: Mapping[str, Version] = field(default_factory=dict[str, Version])
    declarations: Declarations = field(default_factory=Declarations)
    #: What the code declares otherwise, or anew, and is not built because that was refused before.
    refused: frozenset[str] = frozenset()

    @property
    def old(self) -> frozenset[str]:
        """The names of those that are kept up by a declaration that is not the code's any more."""
        return frozenset(n for n in self.kept if n.endswith(FORMER) or n in self.renewed or n in self.refused)


def versions(
    code: Declarations,
    built: Mapping[str, Built],
    *,
    asked: Collection[str] = (),
    refused: Mapping[str, Collection[str]] = MappingProxyType({}),
    building: Mapping[str, str] = MappingProxyType({}),
) -> Versions:
    """What to keep up, given what the code declares and the tables that are there.

    ``asked``: what is built anew although its declaration is the same; ``refused``: by name, the fingerprints that were
    rolled back, which are not built again unless they are asked for; ``building``: those of the rebuild under way. A next
    version is kept up from when its table is made, if just those are still to be built.
    """
    now = code.fingerprints()
    written: dict[str, Declared] = {one.name: one for one in (*code.histories, *code.maintained)}
    if wrong := [name for name in written if name != base_of(name)]:
        raise DeclarationError(f"{listed(wrong)}: {NEXT} and {FORMER} are readside's own; choose another name")
    changed = {name for name, one in built.items() if name in now and one.fingerprint != now[name]}
    changed = {name for name in changed if not isinstance(written[name], History)}
    if any(built[name].declaration is None for name in changed):
        # Nobody knows what the old version was computed by: it cannot be kept up, so it is made anew at once.
        return _versions(
            {name: Version(declaration=w, written=w, fingerprint=now[name]) for name, w in written.items()}
        )
    olds = {name: old for name in changed if (old := built[name].declaration) is not None}
    # A rebuild of what it reads may renew an old version as it is.
    wished = {name for name in asked if name not in changed or building.get(name) != built[name].fingerprint}
    back = {name for name in now if now[name] in refused.get(name, ()) and name not in wished}
    back = {name for name in back if name in changed or name not in built}
    # Nor is what reads one that is not there.
    back |= set(_with_readers(back - built.keys(), written | {name: olds[name] for name in back & changed}))
    wanted = {name: olds.get(name, one) if name in back else one for name, one in written.items()}
    wanted = {name: one for name, one in wanted.items() if name not in back or name in built}
    renewed = _with_readers((changed - back) | (set(asked) & wanted.keys()), wanted)
    kept: dict[str, Version] = {}
    for name, one in wanted.items():
        if name in changed:
            kept[name] = Version(declaration=olds[name], written=olds[name], fingerprint=built[name].fingerprint)
        elif name in built or name not in renewed:
            kept[name] = Version(declaration=one, written=one, fingerprint=now[name])
    kept |= _of_a_set(FORMER, {base_of(n): b for n, b in built.items() if n.endswith(FORMER)})
    names = {name: f"{name}{NEXT}" for name in renewed}
    nexts = {
        name: Version(
            declaration=_under(wanted[name], names),
            written=wanted[name],
            fingerprint=built[name].fingerprint if name in back else now[name],
        )
        for name in renewed
    }
    if building == {name: version.fingerprint for name, version in nexts.items()}:
        kept |= {names[name]: nexts[name] for name in renewed if names[name] in built}
    _complete(kept, built)
    return replace(_versions(kept, nexts), refused=frozenset(back))


def _with_readers(names: Collection[str], declared: Mapping[str, Declared]) -> tuple[str, ...]:
    """These and all that read one of them, in the order in which they are built. What happened is not built anew."""
    reads = {name: _reads(one) & declared.keys() for name, one in declared.items()}
    order = [n for n in TopologicalSorter(reads).static_order() if not isinstance(declared[n], History)]
    found = set(names)
    for name in order:
        if reads[name] & found:
            found.add(name)
    return tuple(name for name in order if name in found)


def _of_a_set(suffix: str, built: Mapping[str, Built]) -> dict[str, Version]:
    names = {name: f"{name}{suffix}" for name in built}
    return {
        names[name]: Version(
            declaration=_under(one.declaration, names), written=one.declaration, fingerprint=one.fingerprint
        )
        for name, one in built.items()
        if one.declaration is not None
    }


def _complete(kept: dict[str, Version], built: Mapping[str, Built]) -> None:
    """Keep up whatever an old version reads, though the code does not declare it any more."""
    waiting = list(kept.values())
    while waiting:
        for name in sorted(_reads(waiting.pop().declaration) - kept.keys()):
            one = built.get(name)
            if one is not None and one.declaration is not None:
                old = one.declaration
                kept[name] = Version(declaration=old, written=old, fingerprint=one.fingerprint)
                waiting.append(kept[name])


def _reads(declared: Declared) -> set[str]:
    if isinstance(declared, History):
        return set()
    read = {name.partition(".")[2] for name in declared.reads if is_declared(name)}
    return read | (set(declared.histories) if isinstance(declared, ReadModel) else set())


def _under(declared: Declared, names: Mapping[str, str]) -> Declared:
    """The declaration for the table of another name, reading others of its set by theirs."""

    def text(sql: str) -> Any:
        return renamed(sql, names)

    name = cast("Any", names.get(declared.name, declared.name))
    if isinstance(declared, Rollup):
        return replace(declared, name=name, of=_reference(declared.of, names))
    if isinstance(declared, History):
        return declared
    return replace(
        declared,
        name=name,
        query=text(declared.query),
        affected_by={_reference(source, names): text(keys) for source, keys in declared.affected_by.items()},
        embeds={column: replace(e, of=_reference(e.of, names)) for column, e in declared.embeds.items()},
    )


def _reference(reference: str, names: Mapping[str, str]) -> Any:
    schema, _, name = reference.partition(".")
    return f"{schema}.{names[name]}" if is_declared(reference) and name in names else reference


def _versions(kept: Mapping[str, Version], renewed: Mapping[str, Version] = MappingProxyType({})) -> Versions:
    of = [version.declaration for version in kept.values()]
    return Versions(
        kept=kept,
        renewed=renewed,
        declarations=Declarations(
            read_models=tuple(one for one in of if isinstance(one, ReadModel)),
            histories=tuple(one for one in of if isinstance(one, History)),
            rollups=tuple(one for one in of if isinstance(one, Rollup)),
        ),
    )


def to_json(declared: Declared) -> dict[str, Any]:
    """A declaration as a store remembers it."""
    return asdict(declared)


def from_json(kind: str, stored: Mapping[str, Any] | None) -> Declared | None:
    """The declaration that a store remembers; None where it remembers none that this release can read."""
    if stored is None:
        return None
    values: dict[str, Any] = {name: tuple(of) if isinstance(of, list) else of for name, of in stored.items()}
    if kind == "read_model":
        values["embeds"] = {column: Embed(**embed) for column, embed in values.get("embeds", {}).items()}
        values["mirror_indexes"] = {t: tuple(of) for t, of in values.get("mirror_indexes", {}).items()}
    try:
        return KINDS[kind](**values)
    except (DeclarationError, TypeError, KeyError):
        return None
