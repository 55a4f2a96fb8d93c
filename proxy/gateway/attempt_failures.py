"""Failures of attempts: which of two says more, and that of an answer nested too deeply."""

from __future__ import annotations

from ..errors import UpstreamError, failure
from ..ir import Failure

MISSING = ("not_found", "model_not_found")
"""Kinds by which a backend says that it has no such model, response or endpoint."""


def worse(before: UpstreamError | None, error: UpstreamError) -> UpstreamError:
    """The failure that says more: a backend that does not have what is asked for says less than one that failed."""
    if before is None or before.failure.kind in MISSING or error.failure.kind not in MISSING:
        return error
    return before


def too_deep() -> Failure:
    """The failure for an answer that nests more deeply than the interpreter can follow."""
    return failure("upstream_garbage", "The backend's answer is nested too deeply.")
