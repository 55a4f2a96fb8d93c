"""The document that is written from the policy table is fresh."""

from __future__ import annotations

from crosswire.proxy.resilience.policy import POLICY
from crosswire.proxy.resilience.policy_document import render

from ...source_tree import ROOT


def test_the_document_is_fresh() -> None:
    """Write it anew: python -m crosswire.proxy.resilience.policy_document > docs/failover-policy.md"""
    assert (ROOT / "docs/failover-policy.md").read_text("utf-8") == render()


def test_every_kind_has_a_line() -> None:
    text = render()
    assert [kind for kind in POLICY if f"| `{kind}` |" not in text] == []
