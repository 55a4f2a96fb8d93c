"""Decides which losses a request may have, by the config's loss rules and strict mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from ..errors import UpstreamError
from ..ir import Failure, Loss
from ..observability.request_record import Record


class LossPolicy(Struct, frozen=True):
    """`actions` says for each feature whether its loss is refused, dropped or approximated; `strict` refuses all."""

    strict: bool
    actions: Mapping[str, str]

    def refused(self, losses: Iterable[Loss]) -> list[Loss]:
        """The losses that may not be."""
        return [loss for loss in losses if self.strict or self.actions[loss.feature] == "refuse"]

    def rejection(self, losses: Iterable[Loss]) -> str | None:
        """Returns the reason why a backend cannot take a request with these losses, or None if it can."""
        refused = self.refused(losses)
        return f"cannot take {describe(refused)}" if refused else None

    def record_losses(self, losses: list[Loss], record: Record) -> None:
        """Records the losses of an answer; raises UpstreamError where one of them may not be."""
        record.losses += losses
        refused = self.refused(losses)
        if refused:
            text = f"The answer cannot be told without a loss: {describe(refused)}."
            raise UpstreamError(Failure("loss", text, 502, code="loss"))


def describe(losses: Iterable[Loss]) -> str:
    """The losses with their paths, for a message."""
    return ", ".join(f"{loss.feature} ({loss.path})" for loss in losses)
