"""Checks of losses: lost and declared features must be the same, and no field may be added."""

from __future__ import annotations

from crosswire.mockserver.protocols.protocol import ParsedRequest

from ..comparison import WRONG, Difference, added_fields
from ..matrix.result import Result, Step
from .case import Case


def check_losses(result: Result, case: Case, step: Step, differences: list[Difference]) -> None:
    """Checks that the lost features are those declared, and that the matrix allows each for this pair."""
    for difference in differences:
        if difference.feature == WRONG:
            result.fail(str(difference))
    missing = {difference.feature for difference in differences} - {WRONG}
    declared = declared_losses(step)
    if step.record is None and not declared:
        declared = header_losses(step)
    for feature in sorted(missing - declared):
        why = "; ".join(str(difference) for difference in differences if difference.feature == feature)
        result.fail(f"undeclared loss {feature}: {why}")
    for feature in sorted(declared - missing):
        result.fail(f"a loss was declared that did not happen: {feature}")
    for feature in sorted(declared & missing):
        if feature not in case.upstream_side.losses and feature not in case.client_side.losses:
            result.fail(f"loss {feature} is not allowed for {case.client.name} → {case.upstream.name}")
        if feature not in result.losses:
            result.losses.append(feature)
    if result.losses and result.outcome == "pass":
        result.outcome = "lossy"


def check_added(result: Result, case: Case, sent: ParsedRequest, received: ParsedRequest) -> None:
    """Checks that the provider received no field that the client did not send, except those the matrix lists."""
    extra = added_fields(sent, received, same=case.same_protocol)
    for path in extra:
        if path not in case.upstream_side.adds:
            result.fail(f"the proxy added {path} = {extra[path]!r}")


def declared_losses(step: Step) -> set[str]:
    """Returns the features that the request record declares as lost."""
    return {loss["feature"] for loss in (step.record or {}).get("losses", [])}


def header_losses(step: Step) -> set[str]:
    """Returns the features that the response header declares as lost."""
    return set(filter(None, step.response.headers.get("x-crosswire-loss", "").split(",")))
