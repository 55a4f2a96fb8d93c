"""The failover policy: its table is whole, and the document that is written from it is fresh."""

from __future__ import annotations

import pytest

from crosswire.proxy.errors import STATUS
from crosswire.proxy.gateway.context import FUTILE
from crosswire.proxy.resilience.policy import FINAL, POLICY, RETRIABLE, rule_of

OURS = ("internal", "loss", "no_credentials", "draining", "stream_limit")
"""Kinds from status 500 on that no backend is the cause of."""


@pytest.mark.parametrize("kind", STATUS)
def test_every_failure_of_a_backend_has_a_row(kind: str) -> None:
    """Failures of the client's own have no rule; those of a backend, or of the way to it, have one."""
    is_backends = STATUS[kind] >= 500 and kind not in OURS
    assert (kind in POLICY) is (is_backends or kind == "rate_limit")
    assert rule_of(kind) is POLICY.get(kind, FINAL)


@pytest.mark.parametrize("kind", POLICY)
def test_every_row_moves_on(kind: str) -> None:
    """Nothing is lost while another backend may serve."""
    rule = POLICY[kind]
    assert rule.elsewhere
    assert rule.again or kind in FUTILE, "the same request meets it again for certain, so no SDK may retry"
    assert not (rule.free and rule.evidence != "none"), "our own trouble is never held against a backend"


def test_what_no_backend_is_blamed_for() -> None:
    assert [kind for kind, rule in POLICY.items() if rule.free] == ["upstream_dns", "out_of_resources"]
    # the next key follows what is wrong with the one that was used: it is of no use, or at its limit
    assert {kind for kind, rule in POLICY.items() if rule.next_key} - FUTILE == {"rate_limit"}
    assert RETRIABLE.isdisjoint(FUTILE)
