"""Checks of losses: what was lost, what was declared and what the protocols' rules imply must be the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.folders import SHIPPED
from crosswire.mockserver.scenarios.story import Story

from ..client.told_losses import ToldLoss
from ..comparison import WRONG, Difference, added_fields
from ..matrix.expectations import LossCase
from ..matrix.result import Direction, Lost, Result, Step
from .case import Case


def check_losses(
    result: Result, case: Case, step: Step, of_request: list[Difference], of_reply: list[Difference]
) -> None:
    """Checks that the lost features are those that the client was told of, and that a rule allows each for this pair.

    Header and stream alone must tell of them; the record is compared with both by itself.
    """
    differences = [*of_request, *of_reply]
    for difference in differences:
        if difference.feature == WRONG:
            result.fail(str(difference))
    missing = {difference.feature for difference in differences} - {WRONG}
    declared = header_losses(step) | {loss.word for loss in step.reply.told.losses}
    for feature in sorted(missing - declared):
        why = "; ".join(str(difference) for difference in differences if difference.feature == feature)
        result.fail(f"undeclared loss {feature}: {why}")
    for feature in sorted(declared - missing):
        result.fail(f"a loss was declared that did not happen: {feature}")
    _check_allowed(result, case, "request", of_request)
    _check_allowed(result, case, "reply", of_reply)
    result.losses += [feature for feature in sorted(declared & missing) if feature not in result.losses]
    if result.losses and result.outcome == "pass":
        result.outcome = "lossy"


def _check_allowed(result: Result, case: Case, direction: Direction, differences: list[Difference]) -> None:
    """Adds the losses to the result, and checks that each is one that the story and the pair imply."""
    expected = {(lost.feature, lost.path) for lost in implied_losses(result, case, direction)}
    for difference in differences:
        lost = Lost(direction, difference.feature, path_pattern(difference.path))
        if lost.feature == WRONG or lost in result.lost:
            continue
        result.lost.append(lost)
        if (lost.feature, lost.path) not in expected:
            result.fail(f"loss {lost} is not allowed for {case.client.name} → {case.upstream.name}: {difference}")


def check_implied_losses(result: Result, case: Case) -> None:
    """Checks after the last exchange that every loss happened that the story and the pair imply.

    In a story some of whose exchanges go to another provider the losses depend on more than the pair.
    """
    story = case.story
    if story.proxy is not None or any(exchange.by for exchange in story.exchanges) or not is_shipped(story):
        return
    implied = [*implied_losses(result, case, "request"), *implied_losses(result, case, "reply")]
    for lost in sorted(set(implied) - set(result.lost)):
        result.fail(
            f"loss {lost} did not happen, though a rule says that {case.client.name} → {case.upstream.name} has it"
        )


def implied_losses(result: Result, case: Case, direction: Direction) -> list[Lost]:
    """The losses that the rules imply for this cell; for a story of the user, those that they allow to any story."""
    is_known = is_shipped(case.story)
    return [
        Lost(direction, feature, path)
        for feature, expected in loss_cases(case, direction, stream=result.cell.stream)
        if not is_known or expected.covers(case.story.name)
        for path in expected.paths
    ]


def loss_cases(case: Case, direction: Direction, *, stream: bool) -> Iterator[tuple[str, LossCase]]:
    """Yields the cases of the target's allowances that are about cells of this kind, each with its feature."""
    model = case.provider.models.get(case.model, case.model)
    side, peer = (case.upstream_side, case.client) if direction == "request" else (case.client_side, case.upstream)
    for feature, entries in side.losses.items():
        for expected in (each for allowance in entries for each in allowance.cases):
            # within one protocol nothing is lost but what an allowance says of it by name
            named = expected.peers or not case.same_protocol
            if named and expected.applies(peer.name, case.provider.quirks, model, stream=stream):
                yield feature, expected


def is_shipped(story: Story) -> bool:
    """Returns whether the story is one of the package; the allowances name those, and know no story of a user."""
    return (SHIPPED / "stories" / f"{story.name}.yaml").is_file()


def path_pattern(path: str) -> str:
    """Returns the path of a difference with `[]` for every index."""
    return re.sub(r"\[\d+\]", "[]", path)


def check_added(result: Result, case: Case, sent: ParsedRequest, received: ParsedRequest) -> None:
    """Checks that the provider received no field that the client did not send, except those the matrix lists."""
    extra = added_fields(sent, received, same=case.same_protocol)
    for path in extra:
        if path not in case.upstream_side.adds:
            result.fail(f"the proxy added {path} = {extra[path]!r}")


def check_recorded_losses(result: Result, step: Step) -> None:
    """Checks that the record has the losses that the client was told of, and no other.

    The header tells the words of those known when it was sent; a stream's last event tells every one that came later.
    """
    recorded = [ToldLoss(loss["feature"], loss["path"], loss["how"]) for loss in (step.record or {}).get("losses", [])]
    told = step.reply.told
    late = len(told.losses) + told.left_out
    early, late_ones = (recorded[:-late], recorded[-late:]) if late else (recorded, [])
    words, shown = {loss.word for loss in early}, header_losses(step)
    if words != shown:
        result.fail(f"the header declares {sorted(shown)}, the record {sorted(words)}")
    missing = [loss for loss in told.losses if loss not in late_ones]
    if missing or len(late_ones) != late or (not told.left_out and list(told.losses) != late_ones):
        result.fail(f"the stream tells of {list(map(_shown, told.losses))}, the record {list(map(_shown, late_ones))}")


def _shown(loss: ToldLoss) -> str:
    return f"{loss.word} at {loss.path} ({loss.how})"


def header_losses(step: Step) -> set[str]:
    """Returns the features that the response header declares as lost."""
    return set(filter(None, step.response.headers.get("x-crosswire-loss", "").split(",")))
