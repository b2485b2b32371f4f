"""What histories tell of one batch: every change of a row, from the row that it found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.projectors.test_snapshots import PURCHASES, given_a_shop


@pytest.fixture(params=[("serving", "history.order_timeline"), ("analytics", "order_status_changes")])
def told(request: pytest.FixtureRequest) -> tuple[Any, str]:
    store, history = request.param
    return request.getfixturevalue(store), history


def test_a_row_that_comes_back_after_a_truncate_is_new(told: tuple[Any, str], run: Any) -> None:
    pipeline, history = told
    given_a_shop(pipeline)
    pipeline.commit("truncate orders cascade", PURCHASES)
    pipeline.project().close()
    assert run(f"select status, count(*) from {history} group by 1") == [("pending", 8)]


def test_a_truncate_between_two_lives_of_a_row_in_one_batch_parts_them(told: tuple[Any, str], run: Any) -> None:
    pipeline, history = told
    given_a_shop(pipeline)
    paid = "update orders set status = 'paid' where id = 1"
    pipeline.commit(paid, "truncate orders cascade", PURCHASES, paid)
    pipeline.project().close()
    statuses = run(f"select status from {history} where order_id = 1 order by end_lsn, place")
    assert statuses == [("pending",), ("paid",), ("pending",), ("paid",)]
