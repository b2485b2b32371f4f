"""The lock of jars: what Maven itself would resolve, and nothing but the locked files ever used."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stack import jars
from stack.errors import MissingComponent

POM = """\
<project>
  <modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version>
  <dependencies>{}</dependencies>
</project>
"""
DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


@pytest.mark.skipif(shutil.which("mvn") is None, reason="no mvn on this machine to compare the lock with")
def test_lock_is_what_maven_resolves(tmp_path: Path) -> None:
    dependencies = "".join(DEPENDENCY.format(*root.split(":")) for root in jars.ROOTS)
    (tmp_path / "pom.xml").write_text(POM.format(dependencies))
    listed = subprocess.run(
        ["mvn", "--batch-mode", "dependency:list", "-DincludeScope=runtime", "-Dstyle.color=never"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    resolved = {f"{group}:{rest}" for group, rest in re.findall(r"([\w.-]+:[\w.-]+):jar:([^:\s]+):", listed)}
    assert {jar.coordinate for jar in jars.locked()} == resolved


def test_lock_mixes_no_jetty_versions() -> None:
    jetty = [jar.coordinate for jar in jars.locked() if jar.coordinate.startswith("org.eclipse.jetty")]
    assert len({coordinate.rpartition(":")[2] for coordinate in jetty}) == 1


def test_lock_holds_the_roots_and_exactly_one_logging_binding() -> None:
    coordinates = {jar.coordinate for jar in jars.locked()}
    assert set(jars.ROOTS) <= coordinates
    assert [each for each in coordinates if ":slf4j-simple:" in each or ":slf4j-reload4j:" in each] == [jars.ROOTS[-1]]


def test_jar_whose_content_differs_from_the_lock_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = next(jar for jar in jars.locked() if ":slf4j-simple:" in jar.coordinate)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "LOCK", tmp_path / "jars.lock")
    jars.write_lock([jars.Jar(honest.coordinate, "0" * 64)])
    with pytest.raises(MissingComponent, match="SHA-256"):
        jars.fetch()
    assert list(tmp_path.rglob("*.jar")) == []


def test_jar_that_was_cut_off_in_the_cache_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = next(jar for jar in jars.locked() if ":slf4j-simple:" in jar.coordinate)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "LOCK", tmp_path / "jars.lock")
    jars.write_lock([honest])
    cut = tmp_path / "readside" / "maven" / honest.path
    cut.parent.mkdir(parents=True)
    cut.write_bytes(b"half")
    told: list[tuple[int, int]] = []
    assert jars.fetch(lambda done, of: told.append((done, of))) == [cut]
    assert cut.stat().st_size > 4
    assert told == [(1, 1)]
