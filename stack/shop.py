"""The shop as the load knows it: what is there, in which state, and at which version it was last seen."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A customer as last seen."""

    id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product as last seen."""

    id: str
    version: int
    cents: int  #: its price


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as last seen; its status is the pool it lies in."""

    id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A post as last seen."""

    id: str
    version: int


class Pool(Generic[T]):
    """Things of one kind and state, to look at or to take out; safe between threads."""

    def __init__(self) -> None:
        self._things: list[T] = []
        self._lock = threading.Lock()

    def give(self, thing: T) -> None:
        """Put a thing in."""
        with self._lock:
            self._things.append(thing)

    def take(self, random: Random) -> T | None:
        """Take any one out, for oneself alone; None when there is none."""
        with self._lock:
            if not self._things:
                return None
            place = random.randrange(len(self._things))
            self._things[place], self._things[-1] = self._things[-1], self._things[place]
            return self._things.pop()

    def look(self, random: Random) -> T | None:
        """Any one, left where it is; a few are much more in demand than the rest."""
        with self._lock:
            return self._things[int(len(self._things) * random.random() ** 2)] if self._things else None


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop as the load knows it."""

    sellers: Pool[str] = field(default_factory=Pool[str])
    categories: Pool[str] = field(default_factory=Pool[str])
    users: Pool[User] = field(default_factory=Pool[User])
    suspended: Pool[User] = field(default_factory=Pool[User])
    products: Pool[Product] = field(default_factory=Pool[Product])
    pending: Pool[Order] = field(default_factory=Pool[Order])
    paid: Pool[Order] = field(default_factory=Pool[Order])
    shipped: Pool[Order] = field(default_factory=Pool[Order])
    reviews: Pool[str] = field(default_factory=Pool[str])
    follows: Pool[tuple[str, str]] = field(default_factory=Pool[tuple[str, str]])  #: follower, followee
    posts: Pool[Post] = field(default_factory=Pool[Post])
    comments: Pool[str] = field(default_factory=Pool[str])
