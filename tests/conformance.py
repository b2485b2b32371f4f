"""Requests made from a server's own OpenAPI document, right ones and wrong ones, and its answers held against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import openapi
from schemathesis.specs.openapi import checks

ROUTE_REQUESTS = 30  # to each route, half of them meant to be wrong
CHECKED = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
IDS = st.sampled_from(["1", "2", "3"])  # something has them


def conforms(url: str, document: dict[str, Any], *, headers: Mapping[str, str], may_be_503: frozenset[str]) -> None:
    """Fail for the first answer that the document does not have. The requests are the same in every run.

    ``may_be_503``: the kinds of problem that a sound server may answer 503 with.
    """
    schema = openapi.from_dict(document)
    schema.config.update(base_url=url)
    for found in schema.get_all_operations():
        _try(found.ok(), headers, may_be_503)


def _try(operation: Any, headers: Mapping[str, str], may_be_503: frozenset[str]) -> None:
    wanted = [
        operation.as_strategy(generation_mode=mode)
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    ]

    @settings(
        max_examples=ROUTE_REQUESTS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def requests(data: st.DataObject) -> None:
        case = data.draw(st.one_of(wanted))
        _point_at_something(case, data)
        response = case.call(headers=dict(headers))
        if response.status_code >= 500:
            kind = response.json()["type"].removeprefix("/problems/")
            assert (response.status_code, kind in may_be_503) == (503, True), f"{case.as_curl_command()}: {kind}"
        case.validate_response(response, checks=CHECKED)

    requests()


def _point_at_something(case: Any, data: st.DataObject) -> None:
    """Ids that are known, in half of the requests: chance would find none."""
    if not data.draw(st.booleans()):
        return
    for place in (case.path_parameters, case.body):
        if isinstance(place, dict):
            place |= {name: data.draw(IDS) for name in place if name == "id" or str(name).endswith("_id")}
            if isinstance(place.get("version"), int):
                place["version"] = 1
