"""Names the losses that are the same in both protocols."""

from __future__ import annotations

from ...ir import Loss, StopReason
from ...ir.losses import declare_loss
from .tables import INEXACT_STOPS


def stop_losses(stop: StopReason, matched: str | None) -> list[Loss]:
    """Returns the losses of a stop reason without a value here, and of a matched stop sequence, which has no field."""
    losses = [declare_loss("stop", "stop_reason")] if stop in INEXACT_STOPS else []
    if matched is not None:
        losses.append(declare_loss("matched", "matched_stop"))
    return losses
