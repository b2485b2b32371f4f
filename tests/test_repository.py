"""What holds for the repository as a whole: its packages, its walls, its documents."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from config.reference import reference

ROOT = Path(__file__).parents[1]
PACKAGES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
    "wheel"
]["packages"]
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    if name and (ROOT / name).is_file()
]

#: The only modules that begin or end a transaction, or say that there is none. Keep it short: a second owner of the same
#: store's transactions is how a checkpoint parts from the rows it speaks of.
TRANSACTION_OWNERS = {
    "benchmarks/backlog.py": "makes source transactions by the thousand, inside the database",
    "benchmarks/bare.py": "a bare loop into tables of its own",
    "benchmarks/database.py": "creates a database of a benchmark's own",
    "benchmarks/join.py": "each read is one statement",
    "benchmarks/product_page.py": "vacuums",
    "benchmarks/rebuild.py": "asks and looks, one statement at a time; vacuums",
    "benchmarks/stored.py": "vacuums a database of its own",
    "cdc/continuity.py": "one command of the replication protocol, which knows no transaction",
    "benchmarks/upstream.py": "one statement at a time: triggers, cuts and looks at slots",
    "cdc/connector.py": "one statement at a time on the source: the slot's state and the pulse",
    "projectors/analytics/copying.py": "fills a file of its own in one transaction",
    "projectors/analytics/sql.py": "an ad hoc statement is one read-only transaction",
    "projectors/analytics/store.py": "a batch and its checkpoint are one transaction",
    "projectors/serving/session.py": "opens the projector's session, whose transactions are the store's",
    "projectors/serving/store.py": "a batch and its checkpoint are one transaction",
    "projectors/verification/results.py": "the reconciler's notes, one statement each",
    "projectors/verification/sides.py": "reads of a store are one statement each; the source is read in one snapshot",
    "queries/probes.py": "each look is one statement",
    "queries/pushes.py": "listens, which a transaction would hold back",
    "queries/store.py": "each read is one statement",
    "queries/watch.py": "listens, which a transaction would hold back",
    "stack/churn.py": "the load's own transactions, and what became of each",
    "stack/faults.py": "ends a session, one statement",
    "stack/provision.py": "creates databases, which cannot be done inside a transaction",
    "stack/replay.py": "creates a database for the replay, and looks where it stands",
    "stack/serving_store.py": "one statement at a time: looks, and asks the projector",
    "stack/witness.py": "each look is one statement",
    "writer/migrations.py": "a migration and its record are one transaction",
    "writer/transaction.py": "a command is one transaction",
}
ENDS_TRANSACTION = re.compile(
    r"""\.commit\(|\.rollback\(|autocommit\W+True|\.autocommit|["'](?:begin|commit|rollback)(?:["';]| transaction)"""
)

#: The one module that reads the environment, and the one that changes it, on the way to becoming another program.
ENVIRONMENT_USERS = {"config/environment.py", "stack/launch.py"}

MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:work|root|home|Users)/\w")
REGISTRY = re.compile(
    r"https?://[\w.-]*(?:pypi|pythonhosted|maven|npmjs|crates\.io|golang)[\w.-]*|(?:extra-)?index[-_]url"
)
LOCKS = {"uv.lock"}  # written by tools, whose format holds addresses


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_matching(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """``file:line`` of each line that the pattern occurs in."""
    found: list[str] = []
    for path in paths:
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{named(path)}:{number}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_this_checkouts_wherever_python_starts(package: str, tmp_path: Path) -> None:
    """Our import names are taken on the package index too: an installed stranger would win without a word."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import {package}; print({package}.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()).parent == ROOT / package


def test_transactions_begin_and_end_in_the_modules_that_own_one() -> None:
    owners = {line.split(":")[0] for line in lines_matching(ENDS_TRANSACTION, MODULES)}
    assert owners == set(TRANSACTION_OWNERS)


def test_the_environment_is_read_in_one_place() -> None:
    users = {line.split(":")[0] for line in lines_matching(re.compile(r"os\.(?:environ|getenv)"), MODULES)}
    assert users == ENVIRONMENT_USERS


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_is_one_noun(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in {"utils", "common", "helpers", "base", "manager"}


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert lines_matching(MACHINE_PATH, TRACKED) == []


def test_no_file_names_a_package_registrys_host() -> None:
    assert lines_matching(REGISTRY, [path for path in TRACKED if path.name not in LOCKS]) == []


def test_nothing_is_left_to_be_done_in_a_comment() -> None:
    assert lines_matching(re.compile(r"#.*\b(?:TODO|FIXME|XXX)\b"), MODULES) == []


def test_the_readme_begins_with_the_two_commands() -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == ["./readside demo", "./readside test"]


def test_the_settings_document_is_fresh() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == reference(), "run: python -m config.reference"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").iterdir()), ids=named)
def test_a_decision_fits_on_a_page_and_says_what_would_change_it(path: Path) -> None:
    text = path.read_text()
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
    assert len(text.splitlines()) <= 50
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "What would change it"]


def test_every_decision_that_is_referred_to_exists() -> None:
    numbers = {path.name[:4] for path in (ROOT / "docs" / "decisions").iterdir()}
    referred = {
        number
        for path in [*MODULES, *TRACKED]
        if path.suffix in {".py", ".md", ".toml", ".yml", ".sql"}
        for number in re.findall(r"docs/decisions/(\d{4})", path.read_text())
    }
    assert referred <= numbers


def test_every_folder_of_tests_holds_tests() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py") if "fixtures" not in path.parts}
    assert [named(folder) for folder in folders if not list(folder.glob("test_*.py"))] == []
