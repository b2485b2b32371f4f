"""What Prometheus is told of rebuilds and of the background verification."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from config.settings import Settings
from queries import diagnosis
from queries.exposition import Pipeline
from queries.health import addresses
from queries.pipeline import Health, ModelRebuild
from queries.probes import Rows
from queries.sight import Seen, Sight
from tests.queries.sights import ALL_WELL, found, store


def told(sight: Sight, prefix: str) -> dict[tuple[str, ...], float]:
    """By name, store where there is one, and model."""
    health = Health(
        addresses=addresses(Settings()),
        components=diagnosis.components(sight),
        hops=diagnosis.hops(sight),
        models=diagnosis.models(sight),
        verified=diagnosis.verified(sight),
        dead_letters=0,
        state="ok",
        took_ms=1,
    )
    text = Pipeline(lambda: health).text().decode()
    return {
        (sample.name.removeprefix(prefix), *(sample.labels[of] for of in ("store", "model") if of in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith(prefix)
    }


def test_verified_rows_are_told_by_table_and_model() -> None:
    seen = store().value
    assert seen is not None
    verified = (found("mirror.orders", "serving", 3), found("orders", "analytics", 0))
    sight = replace(ALL_WELL, serving=Seen(value=replace(seen, verified=verified)))
    assert told(sight, "readside_verified_") == {
        ("timestamp_seconds", "serving", "mirror.orders"): 1772366400.0,
        ("timestamp_seconds", "analytics", "orders"): 1772366400.0,
        ("differing_rows", "serving", "mirror.orders"): 3.0,
        ("differing_rows", "analytics", "orders"): 0.0,
        ("found_rows_total", "serving", "mirror.orders"): 5.0,
        ("found_rows_total", "analytics", "orders"): 2.0,
        ("repaired_rows_total", "serving", "mirror.orders"): 2.0,
        ("repaired_rows_total", "analytics", "orders"): 2.0,
    }


def test_a_rebuild_is_told_while_there_is_one() -> None:
    assert told(ALL_WELL, "readside_rebuild_") == {}
    seen = store().value
    assert seen is not None
    rebuild = ModelRebuild(state="rows", done=200, total=1000, rate=50.0, eta_seconds=16.0)
    models = (Rows(name="order_details", version=2, rows=5, rebuild=rebuild),)
    sight = replace(ALL_WELL, serving=Seen(value=replace(seen, models=models)))
    assert told(sight, "readside_rebuild_") == {
        ("done_rows", "order_details"): 200.0,
        ("total_rows", "order_details"): 1000.0,
        ("rows_per_second", "order_details"): 50.0,
        ("eta_seconds", "order_details"): 16.0,
    }
    listed = replace(rebuild, state="keys", total=None, rate=None, eta_seconds=None)
    models = (Rows(name="order_details", version=2, rows=5, rebuild=listed),)
    sight = replace(ALL_WELL, serving=Seen(value=replace(seen, models=models)))
    assert told(sight, "readside_rebuild_") == {("done_rows", "order_details"): 200.0}
