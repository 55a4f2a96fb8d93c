"""Positions of turns: the same turn in a body on the wire, in a parsed request and in the proxy's neutral form.

Neighbouring turns of one role count as one, as protocols that must alternate join them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import Text, Turn
from crosswire.proxy.ir import Request

WIRE_LISTS: dict[str, str] = {
    "openai-chat": "messages",
    "openai-responses": "input",
    "anthropic": "messages",
    "gemini": "contents",
    "ollama": "messages",
}
"""Protocol -> key of the list of turns in a request."""

ROLES: dict[str, str] = {"developer": "system", "model": "assistant", "tool": "user", "function": "user", "": "user"}
"""Role on the wire -> role of the turn, where they differ."""


def merged_turns(request: ParsedRequest) -> list[Turn]:
    """Returns the system texts and turns as one list, neighbours of one role joined."""
    merged: list[Turn] = []
    for turn in (*(Turn("system", (Text(text),)) for text in request.system), *request.turns):
        if merged and merged[-1].role == turn.role:
            merged[-1] = Turn(turn.role, (*merged[-1].blocks, *turn.blocks))
        elif turn.blocks:
            merged.append(turn)
    return merged


class TurnPlaces(Struct, frozen=True):
    """Index of a turn in the neutral form, and in the list on the wire -> index of the joined turn.

    Either is empty where the turns cannot be told apart, so that any turn is accepted.
    """

    neutral: tuple[int, ...] = ()
    wire: tuple[int, ...] = ()
    tools: tuple[str, ...] = ()


def turn_places(protocol: str, body: Any, parsed: ParsedRequest, request: Request) -> TurnPlaces:
    """Returns the places of the turns of one request, given in three forms."""
    number = len(merged_turns(parsed))
    neutral = _positions([ROLES.get(turn.role, turn.role) if turn.blocks else None for turn in request.turns])
    items = body.get(WIRE_LISTS[protocol])
    roles = [_wire_role(item) for item in items] if isinstance(items, list) else []
    has_system = bool(parsed.system) and not (roles and roles[0] == "system")
    wire = _positions(["system", *roles])[1:] if has_system else _positions(roles)
    tools = tuple(str(getattr(tool, "name", "")) for tool in request.tools)
    return TurnPlaces(neutral if _ends_at(neutral, number) else (), wire if _ends_at(wire, number) else (), tools)


def _ends_at(positions: Sequence[int], number: int) -> bool:
    return bool(positions) and positions[-1] == number - 1


def _positions(roles: Iterable[str | None]) -> tuple[int, ...]:
    """Returns the index of the joined turn of each role; None is a turn that counts as part of the one before."""
    out: list[int] = []
    last: str | None = None
    for role in roles:
        grows = role is not None and role != last
        out.append((out[-1] if out else -1) + grows)
        last = last if role is None else role
    return tuple(max(at, 0) for at in out)


def _wire_role(item: Any) -> str | None:
    """Returns the role of a message, content or item; None for an item without one of its own."""
    if not isinstance(item, dict):
        return "user"
    kind = str(item.get("type") or "message")
    if "role" not in item and kind != "message":
        return "user" if kind.endswith("_output") else "assistant"
    role = str(item.get("role") or "")
    return ROLES.get(role, role)
