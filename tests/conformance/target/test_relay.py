"""A gateway that passes everything on as it is, with its own key, is right: neither side was told another thing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiohttp import web

from crosswire.conformance.harness.testbed_target import TargetTestbed
from crosswire.conformance.matrix.cells import enumerate_cells
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.conformance.matrix.result import Cell
from crosswire.conformance.target.judge import Table, judge_cell
from crosswire.conformance.target.profile import ANY_MODEL, Frontend, Profile

from ..fault_proxies.fault_proxy import HOP_HEADERS
from ..fault_proxies.harness import scenarios
from ..test_fault_detection import SAME_PROTOCOL

CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")

STORIES = (
    "error-401",  # the provider refuses the relay's key, and the client hears just that
    "error-429",
    "error-content-filter",
    "error-context-length",
    "reasoning-off",  # some models refuse to be told so, and sampling too
    "text-fields-of-chat",
    "text-penalties",
    "text-sampling",
    "text-stop-sequence",
    "text-top-p",
)
"""Stories of errors, and of what a model refuses whoever asks."""


def relay(testbed: TargetTestbed, provider: str, instead: web.Response | None = None) -> web.Application:
    """Returns a gateway before one provider of the mock, which says `instead` to the client."""
    auth = scenarios().providers[provider].auth
    base = f"{testbed.mock_url}/{provider}{scenarios().providers[provider].base_path.removesuffix('/v1')}"
    own = {auth.header: f"Bearer {auth.key}" if auth.header == "authorization" else auth.key}

    async def pass_on(request: web.Request) -> web.StreamResponse:
        left_out = (*HOP_HEADERS, *CREDENTIALS)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in left_out} | own
        reply = await testbed.send(request.method, base + request.path_qs, headers, await request.read())
        if instead is not None:
            return instead
        kept = {name: value for name, value in reply.headers.items() if name not in HOP_HEADERS}
        return web.Response(status=reply.status, headers=kept, body=reply.body)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", pass_on)
    return app


@pytest.fixture(scope="module")
def testbed() -> Iterator[TargetTestbed]:
    with TargetTestbed(scenarios()) as testbed:
        yield testbed


@pytest.mark.parametrize(("frontend", "provider"), SAME_PROTOCOL, ids=[pair[0] for pair in SAME_PROTOCOL])
def test_what_is_passed_on_as_it_is_is_right(frontend: str, provider: str, testbed: TargetTestbed) -> None:
    profile = Profile(name="relay", frontends={frontend: Frontend()}, models={provider: {ANY_MODEL: "{model}"}})
    url = testbed.wait(testbed.start(relay(testbed, provider)))
    table = Table(testbed, url, profile, scenarios(), read_expectations())
    cells = [
        cell
        for cell in enumerate_cells(scenarios(), read_expectations())
        if (cell.frontend, cell.provider) == (frontend, provider) and cell.story in STORIES
    ]
    assert Cell(frontend, provider, "error-401", False) in cells
    found = {str(cell): testbed.wait(judge_cell(cell, table)) for cell in cells}
    assert {name: verdict.findings for name, verdict in found.items() if verdict.outcome != "right"} == {}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            "500 Internal Server Error\n\nServer got itself in trouble",
            "500 Internal Server Error Server got itself in trouble",
        ),
        ("", "(an empty body)"),
        ('{"error": {"message": "Oops", "type": "server_error", "param": null, "code": null}}', "Oops"),
    ],
)
def test_an_answer_that_became_an_error_is_one_finding_in_its_own_words(
    body: str, shown: str, testbed: TargetTestbed
) -> None:
    """The text, the tokens and the rest that are missing then follow from it, and are no findings of their own."""
    profile = Profile(name="p", frontends={"openai-chat": Frontend()}, models={"openai": {ANY_MODEL: "{model}"}})
    answer = web.Response(status=500, text=body, content_type="application/json" if body[:1] == "{" else "text/plain")
    url = testbed.wait(testbed.start(relay(testbed, "openai", answer)))
    table = Table(testbed, url, profile, scenarios(), read_expectations())
    verdict = testbed.wait(judge_cell(Cell("openai-chat", "openai", "text", False), table))
    wrong = [finding.what for finding in verdict.findings if finding.outcome == "wrong"]
    assert wrong == [f"the provider answered, the client got 500 internal: {shown}"]
