"""The dashboard's page and what it is made of: files of ours, read once, under an address that changes with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request, Response

from queries.access import Guarded
from queries.problems import Problem

router = APIRouter(route_class=Guarded, include_in_schema=False)

_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
_PAGE = "index.html"
_VERSION = b"{version}"

#: Nothing from elsewhere, nothing written into the page, and no markup made of text.
_SECURITY: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@router.get("/")
def dashboard(request: Request) -> Response:
    """The page. It is looked for anew each time, and names its parts by their version."""
    page = _files()[_PAGE].replace(_VERSION, _version().encode())
    return _answer(request, page, "text/html; charset=utf-8", "no-cache")


@router.get("/assets/{version}/{name}")
def asset(request: Request, version: str, name: str) -> Response:
    """A part of the page, which may be kept for good: another version has another address."""
    if version != _version() or name not in _files() or name == _PAGE:
        raise Problem("not-found", "The page has no such part; load it anew.")
    media_type = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"
    return _answer(request, _files()[name], media_type, "public, max-age=31536000, immutable")


def _answer(request: Request, body: bytes, media_type: str, cached: str) -> Response:
    headers = {**_SECURITY, "Cache-Control": cached, "ETag": f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'}
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


@cache
def _files() -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in resources.files("queries").joinpath("dashboard").iterdir()}


@cache
def _version() -> str:
    """Of all files together: they belong to each other."""
    files = _files()
    return hashlib.blake2b(b"".join(files[name] for name in sorted(files)), digest_size=8).hexdigest()
