"""Reaching the embedded database: what a start leaves undone, the next one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from pylon.errors import Forbidden
from pylon.settings import Settings
from pylon.store import access, migrations
from tests.acceptance.homes import new_home


def settings(home: Path) -> Settings:
    return Settings(home=home, grid="simulated", synthetic="off")


def test_a_start_that_was_killed_between_migrating_and_granting_is_mended_by_the_next() -> None:
    with new_home() as home:
        with access.reach(settings(home)) as way_in:
            migrations.apply(way_in.owner)
            with pytest.raises(Forbidden):  # the login may not even see which migrations there are
                migrations.state(way_in.login)
        with access.opened(settings(home), lambda *_: None) as (_, database), database.as_anyone() as transaction:
            assert len(transaction.all("regions")) == 17
