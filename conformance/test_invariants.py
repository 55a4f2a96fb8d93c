"""Invariants of every cell, checked without snapshots: streams equal unary replies, same-protocol bytes are relayed."""

from __future__ import annotations

import re

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import FRAME, WHOLE

from .checks.routing import ROUTE
from .comparison import same_reply
from .conftest import MatrixRun
from .local_model.expectations import LOCAL_PROVIDER
from .matrix.result import Cell, Result

CARRIED_SIGNATURE = re.compile(r'"Y3cx[A-Za-z0-9+/]+=*"')
"""Another provider's signature in the field of the client's protocol, which must not be relayed as it is."""


def test_stream_folds_to_the_unary_reply(frontend: str, story: str, matrix_run: MatrixRun) -> None:
    """A streamed reply folds to the same reply as the unary one, for each frontend, provider and story."""
    played = [
        result
        for result in matrix_run.results_of(frontend=frontend, story=story)
        if result.cell.provider != LOCAL_PROVIDER
    ]
    for unary, stream in _pairs(played):
        assert not (differs := fold_differences(unary, stream)), f"{stream.cell}: {differs}"


SHORT = 1500
"""Bytes of a reply that is short enough to be sent byte by byte."""


def test_a_stream_is_the_same_however_it_is_cut(frontend: str, story: str, matrix_run: MatrixRun) -> None:
    """A streamed reply folds to the unary one frame by frame, in one write, and byte by byte if it is short."""
    played = [
        result
        for result in matrix_run.results_of(frontend=frontend, story=story)
        if result.cell.provider != LOCAL_PROVIDER and not matrix_run.is_known_to_fail(result.cell)
    ]
    for unary, stream in _pairs(played):
        if stream.outcome in ("fail", "unsupported"):
            continue
        short = all(len(step.transcript.upstream_response) <= SHORT for step in stream.steps)
        for write in (FRAME, WHOLE, *((1,) if short else ())):
            again = matrix_run.result_cut(stream.cell, write)
            differs = fold_differences(unary, again)
            differs += again.reasons if again.outcome != stream.outcome else []
            place = f"{stream.cell}@{write}"
            if matrix_run.is_known_to_differ(stream.cell, write):
                assert differs, f"{place} is listed as known to fail, but passes: remove it from the list"
            else:
                assert not differs, f"{place}: {differs}"


def fold_differences(unary: Result, stream: Result) -> list[str]:
    """Returns the differences between the replies of a unary cell and its streamed twin, step by step."""
    out = []
    for one, other in zip(unary.steps, stream.steps, strict=False):
        if one.reply.error is None and other.reply.error is None:
            out += same_reply(other.reply, one.reply)
    return out


def _pairs(results: list[Result]) -> list[tuple[Result, Result]]:
    by_cell = {(r.cell.provider, r.cell.stream): r for r in results}
    return [
        (by_cell[provider, False], by_cell[provider, True])
        for provider in dict.fromkeys(r.cell.provider for r in results)
        if (provider, False) in by_cell and (provider, True) in by_cell
    ]


def test_an_equal_protocol_is_relayed(cell: Cell, matrix_run: MatrixRun) -> None:
    """With a provider of the client's protocol, request and reply keep every byte except the model's name."""
    providers = matrix_run.scenarios.providers
    if cell.provider == LOCAL_PROVIDER:  # it has no wire protocol
        return
    # a route may lead to any provider; relay_changes skips requests that went to another one
    for provider in providers.values() if cell.provider == ROUTE else (providers[cell.provider],):
        if provider.protocol != cell.frontend:
            continue
        assert not (changed := relay_changes(matrix_run.result(cell), provider)), f"{cell}: {changed}"


def relay_changes(result: Result, provider: Provider) -> list[str]:
    """Returns the changes that a proxy made although the provider has the client's own protocol."""
    out = []
    for step in result.steps:
        went_elsewhere = bool(step.entries) and step.entries[-1]["provider"] != provider.name
        if went_elsewhere or CARRIED_SIGNATURE.search(step.transcript.client_request):
            continue
        if not step.entries or step.record is None or not step.record["attempts"][-1]["relayed"]:
            # a cascade must decode a reply to judge it, so that reply is not relayed
            judged = step.record is not None and (step.record["decision"] or {}).get("cascade")
            # what the model refuses is taken away, and declared
            fitted = step.record is not None and step.record["losses"]
            # where the model takes no stop sequences, the proxy cuts the answer at them
            cut = '"stop":' in step.transcript.client_request and '"stop":' not in step.transcript.upstream_request
            if step.reply.error is None and not provider.quirks and not (judged or fitted or cut):
                out.append("the request was converted")
            continue
        # a model with another name upstream is rewritten in the JSON, which may change blanks; without another name
        # every byte must be the same
        requested, used = f'"{step.record["model"]}"', f'"{step.record["attempts"][-1]["model"]}"'
        normalized = str if requested == used else without_blanks
        if normalized(step.transcript.upstream_request) != normalized(
            step.transcript.client_request.replace(requested, used)
        ):
            out.append("the request changed on the way upstream")
        expected = step.transcript.upstream_response.replace(used, requested)
        if step.reply.error is None and normalized(step.response.body.decode()) != normalized(expected):
            out.append("the reply changed on the way to the client")
    return out


def without_blanks(text: str) -> str:
    """Removes the blanks between the tokens of JSON; strings and line ends stay."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|[ \t]+', lambda found: found[1] or "", text)


def test_every_frontend_and_backend_protocol_is_covered(matrix_run: MatrixRun) -> None:
    """A complete run plays every frontend against every backend protocol, unary and streamed."""
    if matrix_run.filtered:
        return
    protocols = {name: p.protocol for name, p in matrix_run.scenarios.providers.items()}
    played = [cell for cell in matrix_run.cells if cell.provider in protocols]
    pairs = {(cell.frontend, protocols[cell.provider], cell.stream) for cell in played}
    expected_pairs = {
        (front, back, stream) for front in MOCK_PROTOCOLS for back in MOCK_PROTOCOLS for stream in (False, True)
    }
    assert expected_pairs <= pairs


def test_every_allowance_is_used(matrix_run: MatrixRun) -> None:
    """A complete run has a cell for every loss that the expectations list: what nobody loses is no limit of anybody."""
    if matrix_run.filtered or not matrix_run.has_own_scenarios:
        return
    unused = {
        (protocol, direction, feature, case)
        for protocol, limits in matrix_run.matrix.protocols.items()
        for direction, side in (("request", limits.backend), ("reply", limits.frontend))
        for feature, entries in side.losses.items()
        for allowance in entries
        for case in allowance.cases
    }
    for cell in matrix_run.cells:
        lost = matrix_run.result(cell).lost
        providers = matrix_run.scenarios.providers
        backend = providers[cell.provider].protocol if cell.provider in providers else None
        seen = {
            each
            for each in unused
            if each[0] in (cell.frontend if each[1] == "reply" else backend, *([] if backend else [each[0]]))
            and each[3].covers(cell.story)
            and any((one.direction, one.feature) == each[1:3] and one.path in each[3].paths for one in lost)
        }
        unused -= seen
    assert not unused
