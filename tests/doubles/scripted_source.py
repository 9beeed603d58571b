"""A source without an upstream, for tests of what is asked and of what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from pylon.sources.feed import Batch, Request, Side, Supply, Terms

__all__ = ["EMPTY", "Scripted"]

EMPTY = Batch(rows_seen=0)


@dataclass
class Scripted:
    """A source that answers as it is told, and remembers what it was asked."""

    name: str
    supplies: frozenset[Supply]
    data_source: str = "api"
    answer: Callable[[Request], Batch] = lambda _: EMPTY
    sides: frozenset[Side] = frozenset(Side)
    is_partial: bool = False
    poll_every: timedelta = timedelta(0)
    asked: list[Request] = field(default_factory=list)

    @property
    def terms(self) -> Terms:
        return Terms(
            name=self.name,
            title=self.name.title(),
            data_source=self.data_source,
            supplies=self.supplies,
            homepage="",
            licence="",
            attribution="",
            cadence=timedelta(minutes=30),
            delay=timedelta(0),
            sides=self.sides,
            is_partial=self.is_partial,
            poll_every=self.poll_every,
        )

    def fetch(self, request: Request) -> Batch:
        self.asked.append(request)
        return self.answer(request)
