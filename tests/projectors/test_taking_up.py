"""Other versions are taken up on the thread that applies, while the one that reads prepares the next batch."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any, cast

import pytest

from cdc.assembler import Transaction
from cdc.change import Change
from projectors.serving import store as serving_store
from projectors.serving.store import ServingStore
from tests.operations import SEED
from tests.projectors.conftest import MODELS, Pipeline


def _moves(store: ServingStore) -> int:
    """How many statements a change of an order is brought in by, its histories' among them."""
    change = Change(
        "public.orders", "u", b'{"id":1}', b'{"id":1}', partial=True, old_key=None, xid=1, order=1, lsn=1,
        previous_end=None, committed_us=0,
    )  # fmt: skip
    prepared = cast("partial[None]", store.prepare([Transaction(1, 1, 0, [change])]))
    [(_, moves)] = prepared.args[2]
    return len(moves)


def test_a_batch_that_is_prepared_meanwhile_tells_its_histories(
    serving: Pipeline, store_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.commit(SEED)
    serving.project_until_done()
    tables, shapes = serving.catalogue()
    meanwhile: list[int] = []
    with closing(ServingStore(store_database, tables, MODELS.of_store("serving"), shapes=shapes)) as store:
        store.open()
        before = _moves(store)
        indexed = serving_store.prepare_mirror_indexes

        def prepared_meanwhile(*arguments: Any) -> None:
            meanwhile.append(_moves(store))
            indexed(*arguments)

        monkeypatch.setattr(serving_store, "prepare_mirror_indexes", prepared_meanwhile)
        store._take_up()  # pyright: ignore[reportPrivateUsage]
        assert [*meanwhile, _moves(store)] == [before, before]
        assert before == 2
