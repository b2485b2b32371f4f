"""What the dashboard draws, without a terminal: sparklines, rows, the picture, the command of a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from queries.pipeline import Health, Model
from stack.dash import rows
from stack.dash.history import History, sparkline
from stack.dash.picture import WIDTH, picture

NOW = datetime(2026, 11, 26, 4, 0, 3, tzinfo=UTC)


def texts(row: rows.Row) -> list[str]:
    return [cell.plain.strip() for cell in row.cells]


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([], 4, "    "),
        ([0.0, 10.0], 4, "  ▁█"),
        ([1.0, None, 10.0], 3, "▁ █"),
        ([5.0, 1.0, 10.0], 2, "▁█"),
        ([0.1], 1, "▁"),
        ([3.0], 0, ""),
    ],
    ids=["nothing", "newest at the right", "a look that learned nothing", "the last ones", "small is small", "no room"],
)
def test_a_sparkline_is_as_wide_as_asked(values: list[float | None], width: int, drawn: str) -> None:
    assert sparkline(values, width, least_top=2.0) == drawn


def test_history_remembers_each_hops_rate_and_lag(well: Health, without_kafka: Health) -> None:
    history = History()
    history.add(well)
    history.add(without_kafka)
    assert history.rates("transport") == (120.4, None)
    assert history.lags("serving") == (0.04, 9.0)
    assert history.rates("never seen") == ()


def test_a_hops_row_has_rate_changes_and_seconds_and_the_slots_has_its_wal(well: Health) -> None:
    capture, transport, serving, _ = (texts(row) for row in rows.hops(well, History(), "", spark=0))
    assert capture[4] == "3.0 MiB"
    assert transport[2] == "120"
    assert serving == ["●", "serving", "118", "", "2", "0.0 s", ""]


def test_models_come_by_store_with_what_they_are_made_of(well: Health) -> None:
    made_of = {"serving/order_details": "orders, users", "serving/new": "orders"}
    drawn = [texts(row) for row in rows.models(well, made_of, "", now=NOW)]
    assert drawn == [
        ["○", "new", "serving", "-", "-", "-", "orders"],
        ["●", "order_details", "serving", "12,345", "v3", "2.0 s", "orders, users"],
        ["●", "orders", "analytics", "70", "-", "3.0 s", ""],
    ]


def test_a_model_that_stands_still_says_why_instead(well: Health) -> None:
    still = Model(name="m", store="serving", version=1, as_of=None, rows=1, incomplete="2 dead letters")
    (row,) = rows.models(replace(well, models=(still,)), {"serving/m": "orders"}, "", now=NOW)
    assert texts(row) == ["▲", "m", "serving", "1", "v1", "-", "2 dead letters"]


@dataclass(frozen=True, kw_only=True)
class Rebuilt(Model):
    """A model of a health that tells of rebuilds."""

    rebuild: dict[str, object]


def test_a_model_that_is_rebuilt_says_how_far_it_is(well: Health) -> None:
    told: dict[str, object] = {"state": "building", "done": 50, "total": 200, "rate": 10.0, "eta_seconds": 15.0}
    building = Rebuilt(name="m", store="serving", version=1, as_of=None, rows=1, rebuild=told)
    (row,) = rows.models(replace(well, models=(building,)), {}, "", now=NOW)
    assert texts(row)[-1] == "rebuild building 25 %, 15 s left"


def test_the_filter_takes_parts_of_names_in_any_case(well: Health) -> None:
    assert [row.name for row in rows.components(well, "PROJ")] == ["projector-serving", "projector-analytics"]
    assert [row.name for row in rows.models(well, {}, "details", now=NOW)] == ["serving/order_details"]


def test_every_row_has_a_command(well: Health, without_kafka: Health, tmp_path: Path) -> None:
    drawn = [*rows.components(well, ""), *rows.hops(well, History(), "", spark=4), *rows.models(well, {}, "", now=NOW)]
    commands = {row.id: rows.command(row, well, tmp_path) for row in drawn}
    assert all(commands.values())
    assert commands["model:serving/order_details"] == "readside verify order_details"
    assert commands["component:kafka"] == f"tail -f {tmp_path}/logs/kafka.log"
    kafka = next(row for row in drawn if row.id == "component:kafka")
    assert rows.command(kafka, without_kafka, tmp_path) == "readside up"
    assert rows.command(None, well, tmp_path) == "readside status"


def test_the_picture_has_every_component_once_and_fits(well: Health, without_kafka: Health) -> None:
    for health, kafka in ((well, "● kafka"), (without_kafka, "✖ kafka")):
        drawn = picture(health).plain
        assert kafka in drawn
        assert all(drawn.count(f" {component.name}") == 1 for component in health.components)
        assert all(len(line) <= WIDTH for line in drawn.splitlines())
        top, bottom = drawn.splitlines()
        assert top.index("┬") == bottom.index("└")
        assert top.rindex("┬") == bottom.rindex("┘")
