"""The dashboard's page over HTTP: what may be kept and for how long, and what a browser is told to refuse."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from tests.queries.harness import Api

FILES = {file.name: file for file in resources.files("queries").joinpath("dashboard").iterdir()}
VENDORED = {"uplot.js", "uplot.css", "uplot-license.txt"}


def parts(api: Api) -> list[str]:
    """The addresses that the page names."""
    return re.findall(r'(?:href|src)="(assets/[^"]+)"', api.get("/").text)


def test_every_part_is_there_and_kept_for_good(api: Api) -> None:
    named = parts(api)
    assert {"page.css", "main.js", "uplot.js", "icon.svg"} <= {address.rpartition("/")[2] for address in named}
    folder = named[0].rpartition("/")[0]
    for name in FILES.keys() - {"index.html"}:
        answer = api.get(f"/{folder}/{name}")
        assert (answer.status_code, answer.content) == (200, FILES[name].read_bytes()), name
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        again = api.get(f"/{folder}/{name}", {"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_is_looked_for_anew_each_time(api: Api) -> None:
    answer = api.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert api.get("/", {"If-None-Match": answer.headers["ETag"]}).status_code == 304
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2Fapp.py", "%2e%2e"])
def test_nothing_else_is_given_out(api: Api, name: str) -> None:
    folder = parts(api)[0].rpartition("/")[0]
    assert api.get(f"/{folder}/{name}").status_code == 404
    assert api.get("/assets/another/main.js").status_code == 404


@pytest.mark.parametrize("name", sorted(FILES))
def test_files_name_nobody_else_and_make_no_markup_of_text(name: str) -> None:
    text = FILES[name].read_text("utf-8")
    if name in VENDORED:
        return
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|<script>|<style|\son\w+=", text
    )
    assert len(text.splitlines()) <= 300


def test_what_is_vendored_says_which_version_and_under_which_licence() -> None:
    assert "uPlot (v1.6.32)" in FILES["uplot.js"].read_text("utf-8")[:100]
    assert "MIT License" in FILES["uplot-license.txt"].read_text("utf-8")
    assert sum(len(file.read_bytes()) for file in FILES.values()) < 200_000
