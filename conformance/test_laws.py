"""Laws beside snapshots: they hold for every cell, whatever the words."""

from __future__ import annotations

import re

from mockserver.dialects import DIALECTS
from mockserver.scenario import Provider

from .cells import ROUTE, Cell, Result
from .conftest import Matrices
from .live import LIVE
from .meaning import same_reply

TOKEN = re.compile(r'"Y3cx[A-Za-z0-9+/]+=*"')
"""A seal of another provider in its client's own slot, which must not travel on as it is."""


def test_stream_folds_to_the_unary_reply(frontend: str, story: str, matrices: Matrices) -> None:
    """Through one frontend a provider's streamed answer means what its unary one means."""
    played = [result for result in matrices.of(frontend=frontend, story=story) if result.cell.provider != LIVE]
    for unary, stream in _pairs(played):
        assert not (differs := fold_differences(unary, stream)), f"{stream.cell}: {differs}"


def fold_differences(unary: Result, stream: Result) -> list[str]:
    """Where a streamed cell and its unary twin heard different things, one step after another."""
    out = []
    for one, other in zip(unary.steps, stream.steps, strict=False):
        if one.heard.error is None and other.heard.error is None:
            out += same_reply(other.heard, one.heard)
    return out


def _pairs(results: list[Result]) -> list[tuple[Result, Result]]:
    by_cell = {(r.cell.provider, r.cell.stream): r for r in results}
    return [
        (by_cell[provider, False], by_cell[provider, True])
        for provider in dict.fromkeys(r.cell.provider for r in results)
        if (provider, False) in by_cell and (provider, True) in by_cell
    ]


def test_an_equal_protocol_is_relayed(cell: Cell, matrices: Matrices) -> None:
    """Between equal protocols no byte of the request changes, and none of the answer but the model's name."""
    providers = matrices.scenarios.providers
    if cell.provider == LIVE:  # whose protocol is nobody's
        return
    # a route may lead to any of them, and what went elsewhere is none of this one's
    for provider in providers.values() if cell.provider == ROUTE else (providers[cell.provider],):
        if provider.protocol != cell.frontend:
            continue
        assert not (changed := relay_changes(matrices.result(cell), provider)), f"{cell}: {changed}"


def relay_changes(result: Result, provider: Provider) -> list[str]:
    """What a proxy changed though the provider speaks the client's own protocol."""
    out = []
    for step in result.steps:
        elsewhere = bool(step.entries) and step.entries[-1]["provider"] != provider.name
        if elsewhere or TOKEN.search(step.wires.client_request):
            continue
        if not step.entries or step.record is None or not step.record["attempts"][-1]["relayed"]:
            # what a cascade judges before it is sent must be read, and what is read is no relay
            judged = step.record is not None and (step.record["decision"] or {}).get("cascade")
            if step.heard.error is None and not provider.quirks and not judged:
                out.append("the request was converted")
            continue
        # a model may have another name upstream, and is written in between the other members; every byte of these is
        # as it was, and of the whole where there is no other name
        asked, used = f'"{step.record["model"]}"', f'"{step.record["attempts"][-1]["model"]}"'
        plain = str if asked == used else without_blanks
        if plain(step.wires.upstream_request) != plain(step.wires.client_request.replace(asked, used)):
            out.append("the request changed on its way up")
        told = step.wires.upstream_response.replace(used, asked)
        if step.heard.error is None and plain(step.answer.body.decode()) != plain(told):
            out.append("the answer changed on its way down")
    return out


def without_blanks(text: str) -> str:
    """JSON without the blanks between its parts, which mean nothing; strings and line ends stay."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|[ \t]+', lambda found: found[1] or "", text)


def test_every_mode_and_dialect_is_covered(matrices: Matrices) -> None:
    """A run of everything plays every frontend against every backend protocol, unary and streaming."""
    if matrices.filtered:
        return
    spoken = {name: p.protocol for name, p in matrices.scenarios.providers.items()}
    played = [cell for cell in matrices.cells if cell.provider in spoken]
    pairs = {(cell.frontend, spoken[cell.provider], cell.stream) for cell in played}
    wanted = {(front, back, stream) for front in DIALECTS for back in DIALECTS for stream in (False, True)}
    assert wanted <= pairs
