"""The read model that README.md shows is added as it says, by one new file and one line; then it obeys the laws."""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from projectors import registry
from projectors.serving.store import ServingStore
from projectors.verification.oracles import oracle_of
from tests.laws import assert_mirror_equals_source, assert_models_equal_a_build, deliver, random_choice
from tests.operations import OPERATIONS, SEED
from tests.projectors.conftest import Pipeline

ROOT = Path(__file__).parents[2]
PACKAGE = "shop_with_another_model"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The reference application's read models, and the README's: nothing else is touched."""
    section = readme_section("## Add a read model")
    (file, *_), (line,) = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("python", "diff"))
    target = tmp_path / PACKAGE
    shutil.copytree(ROOT / "projectors" / "read_models", target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "stock_alert.py").write_text(file)
    listed = (target / "__init__.py").read_text()
    assert listed.count("DECLARATIONS = declared_in(\n    __name__,\n") == 1
    (target / "__init__.py").write_text(listed.replace("    __name__,\n", "    __name__,\n" + line.removeprefix("+")))
    monkeypatch.syspath_prepend(tmp_path)
    yield PACKAGE
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def readme_section(title: str) -> str:
    """The text under a heading of README.md."""
    _, _, rest = (ROOT / "README.md").read_text().partition(f"\n{title}\n")
    return rest.partition("\n## ")[0]


@pytest.fixture
def pipeline(package: str, shop_database: str, store_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    declarations = registry.load(package).of_store("serving")
    made = Pipeline(
        shop_database,
        tmp_path,
        lambda tables, shapes: ServingStore(store_database, tables, declarations, shapes=shapes),
        models=package,
    )
    yield made
    made.close()


def test_it_is_kept_up(pipeline: Pipeline, rows: Any) -> None:
    pipeline.commit(
        "insert into sellers (id, name) values (1, 'Mill')",
        "insert into categories (id, name) values (1, 'Tools')",
        """insert into products (id, seller_id, category_id, sku, name, price, currency)
           values (1, 1, 1, 'S1', 'Saw', 10, 'USD'), (2, 1, 1, 'S2', 'Axe', 10, 'USD')""",
        "insert into stock (product_id, on_hand) values (1, 4), (2, 9)",
    )
    pipeline.project_until_done()
    assert rows("read_models.stock_alert") == [(1, "Saw", 4)]
    pipeline.commit(
        "update stock set on_hand = 20 where product_id = 1",
        "update stock set reserved = 8 where product_id = 2",
        "update products set name = 'Hatchet' where id = 2",
    )
    pipeline.project_until_done()
    assert rows("read_models.stock_alert") == [(2, "Hatchet", 1)]


@pytest.mark.parametrize("seed", range(5))
def test_it_obeys_the_laws(pipeline: Pipeline, store_database: str, seed: int) -> None:
    chance = random.Random(seed)
    pipeline.commit(SEED)
    kinds = ["product", "stock", "reserve", "reprice", "order", "line", "rename seller", "review"]
    for number in range(30):
        kind, a, b = chance.choice(kinds), chance.randint(1, 4), chance.randint(1, 4)
        with pipeline.source.connection.transaction(force_rollback=chance.random() < 0.1):
            statement = OPERATIONS[kind].replace("%(a)s", str(a)).replace("%(b)s", str(b))
            try:
                with pipeline.source.connection.transaction():
                    pipeline.sql(statement)  # pyright: ignore[reportArgumentType]
            except Exception as exc:
                assert "IntegrityError" in [base.__name__ for base in type(exc).__mro__], exc
        deliver(pipeline, chance)
        if number % 10 == 9:
            pipeline.project(random_choice(chance)).close()
    pipeline.project_until_done()
    assert_mirror_equals_source(pipeline, store_database)
    assert_models_equal_a_build(pipeline, store_database)


def test_verify_has_its_own_query_to_judge_it_by(package: str) -> None:
    (model,) = [model for model in registry.load(package).read_models if model.name == "stock_alert"]
    assert oracle_of(model, package) is None
