"""Matches differences with declared losses: a loss excuses a difference of its feature at its place, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from crosswire.proxy.ir import Loss

from ..comparison import WRONG, Difference
from .turn_places import TurnPlaces

LOSS_ROOTS: dict[str, tuple[str, ...]] = {
    "turns": ("turns",),
    "signatures": ("turns", "blocks"),
    "tools": ("tools", "tool_choice"),
    "system": ("format", "turns"),
    "user": ("user", "safety_identifier", "metadata"),
    "reasoning": ("reasoning", "thinking", "effort", "output_config", "include_reasoning", "enable_thinking"),
    "text": ("blocks",),
    "refusal": ("blocks", "stop_details"),
    "thinking": ("blocks",),
    "reply": ("blocks",),
    "images": ("blocks", "images", "audio"),
    "citations": (
        "blocks",
        "candidates",
        "choices",
        "groundingMetadata",
        "citationMetadata",
        "annotations",
        "citations",
        "search_results",
    ),
    "other choices": ("n", "choices", "candidates"),
    "tokens with logprobs": ("logprobs", "logprobsResult", "blocks", "choices"),
}
"""First word of a difference's path -> first names of the paths of the losses that may excuse it, if not the same."""

WIRE_REGIONS: dict[str, str] = {
    "messages": "turns",
    "contents": "turns",
    "input": "turns",
    "system": "turns",
    "systemInstruction": "turns",
    "instructions": "turns",
    "tools": "tools",
    "functions": "tools",
    "web_search_options": "tools",
}
"""First name of a path on the wire -> the part of the request; any other name is the request's own field."""

SYSTEM_FIELDS = ("system", "systemInstruction", "instructions")
"""Names of the field that is the first turn."""

SPREAD_FEATURES = ("reasoning", "hosted_tools", "tool_choice", "allowed_tools")
"""Features of a request that protocols say in fields of different names."""

SIGNATURE_FEATURES = ("signature", "reasoning_text")
"""Features of the loss of a signature: by itself, or with its thinking block."""

COUNTED = ("image", "document", "audio", "video", "media_out", "signature")
"""Features of blocks that are lost one by one: each block that is missing needs a loss of its own."""


class LossMatches(Struct, frozen=True):
    """The losses of one conversion, and the places of the turns to which their paths refer."""

    losses: tuple[Loss, ...]
    places: TurnPlaces = TurnPlaces()

    def undeclared(self, found: Iterable[Difference]) -> list[Difference]:
        """Returns the differences that no loss declares; each loss of a named field declares one."""
        used: set[int] = set()
        return [difference for difference in found if not self._is_declared(difference, used)]

    def excused(self, found: Iterable[Difference]) -> set[Loss]:
        """Returns the losses that declare one of the differences."""
        return {loss for entry in found for loss in self.losses if self._excuses(loss, entry)}

    def _is_declared(self, difference: Difference, used: set[int]) -> bool:
        if difference.path.startswith("$"):
            return self._is_declared_field(difference, used)
        number = sum(self._excuses(loss, difference) for loss in self.losses)
        return number >= _missing(difference)

    def _excuses(self, loss: Loss, difference: Difference) -> bool:
        """Returns True if the loss is of the difference's feature and at its place."""
        if difference.path.startswith("$"):
            return self._is_of_field(loss, difference)
        if difference.feature == WRONG or not _is_of_feature(loss, difference):
            return False
        root = _root(difference.path)
        if _root(loss.path) not in LOSS_ROOTS.get(root, (root,)):
            return False
        match root:
            case "turns" | "tools":
                return self._is_at(loss, difference.path)
            case "sampling":
                return loss.path == difference.path
            case "citations":
                # the loss of a quote alone is no loss of the source
                return difference.path.endswith(".quote") or not loss.path.endswith((".text", ".quote"))
            case "reply":
                return "arguments" in loss.path
            case _:
                return True

    def _is_at(self, loss: Loss, path: str) -> bool:
        """Returns True if a loss in a turn or a tool is in the one of the difference's path."""
        if _root(path) == "turns":
            turn, at = _index(path), self._turn(loss)
            return turn is None or at is None or turn == at
        if _root(loss.path) != "tools":
            return path == "tools"
        name, _, part = path.removeprefix("tools.").rpartition(".")
        if part not in ("parameters", "strict", "description"):
            name, part = path.removeprefix("tools."), ""
        index = _index(loss.path)
        known = self.places.tools
        if index is None or index >= len(known) or name not in known:
            return True
        return known[index] == name

    def _turn(self, loss: Loss) -> int | None:
        """Returns the joined turn of a loss, None if it is not known."""
        index, known = _index(loss.path), self.places.neutral
        return None if index is None or index >= len(known) else known[index]

    # ---- fields without a neutral counterpart ------------------------------------------------------------------------

    def _is_declared_field(self, difference: Difference, used: set[int]) -> bool:
        exact: list[int] = []
        for at, loss in enumerate(self.losses):
            if not self._is_of_field(loss, difference):
                continue
            if _plain(_names(loss.path)[-1]) != _plain(_names(difference.path)[-1]):
                return True  # the loss of the block or object around the field
            exact.append(at)
        free = next((at for at in exact if at not in used), None)
        if free is not None:
            used.add(free)
        return free is not None

    def _is_of_field(self, loss: Loss, difference: Difference) -> bool:
        names = _names(difference.path)
        region = WIRE_REGIONS.get(names[0], "fields")
        root = _root(loss.path)
        if (root if root in ("turns", "tools") else "fields") != region and not (
            region == "tools" and loss.feature in SPREAD_FEATURES
        ):
            return False
        if region == "turns" and not self._is_in_wire_turn(loss, difference.path):
            return False
        lost = [_plain(name) for name in _names(loss.path)]
        kind = difference.sent.get("type") if isinstance(difference.sent, dict) else None
        if region == "turns" and kind is not None and lost[-1] == _plain(str(kind)):
            return True  # the loss of a block is named by its kind
        if lost[-1] in [_plain(name) for name in names] or (region == "fields" and _plain(names[-1]) in lost):
            return True
        return loss.feature == difference.feature and (region != "fields" or loss.feature in SPREAD_FEATURES)

    def _is_in_wire_turn(self, loss: Loss, path: str) -> bool:
        at = self._turn(loss)
        if _names(path)[0] in SYSTEM_FIELDS:
            return not at
        wire, known = _index(path), self.places.wire
        return wire is None or at is None or wire >= len(known) or known[wire] == at


def _is_of_feature(loss: Loss, difference: Difference) -> bool:
    if difference.feature == "signature":
        return loss.feature in SIGNATURE_FEATURES
    if difference.feature == "tool_result_media":
        return loss.feature in (*COUNTED, "tool_result_media")
    return loss.feature == difference.feature


def _missing(difference: Difference) -> int:
    """Returns the number of losses that declare a difference: one for each block that is missing."""
    sent, received = difference.sent, difference.received
    if difference.feature not in COUNTED or not isinstance(sent, list | tuple):
        return 1
    # of the signatures of a request only the foreign ones are listed, and the placeholders that took their place
    is_request = difference.path == "signatures" and isinstance(sent, list)
    there = len(received) if isinstance(received, list | tuple) and not is_request else 0
    return max(len(sent) - there, 1)


def _root(path: str) -> str:
    """Returns the first word or words of a path."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _names(path: str) -> list[str]:
    """Returns the names of a path without indices."""
    names = [re.sub(r"\[.*?\]", "", name) for name in path.removeprefix("$.").split(".")]
    return [name for name in names if name] or [""]


def _index(path: str) -> int | None:
    """Returns the index of the first name of a path."""
    found = re.match(r"(?:\$\.)?\w+\[(\d+)\]", path)
    return int(found[1]) if found else None


def _plain(name: str) -> str:
    """Returns a name without case and underscores: Gemini accepts both spellings of a field."""
    return name.replace("_", "").lower()


def undeclared_texts(matches: LossMatches, found: Sequence[Difference]) -> list[str]:
    """Returns the undeclared differences as text."""
    return [str(difference) for difference in matches.undeclared(found)]
