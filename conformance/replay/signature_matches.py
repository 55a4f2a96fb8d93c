"""Matches the signatures that a client received with those that the provider issued, each with its block."""

from __future__ import annotations

from ..checks.signatures import is_carried_before_calls, parse_carrier, placed_signatures
from ..client import CLIENTS
from ..client.protocol import ParsedReply

THINKING, CALL = "the thinking block ", "the call of "
"""Beginnings of the descriptions of signed blocks."""


def signature_errors(sent: ParsedReply, provider: str, received: ParsedReply, client: str) -> list[str]:
    """Returns the signatures that the provider did not issue, or not on this block; missing ones are losses.

    One block of the provider may come as several, of which one has the signature.
    """
    before_calls = is_carried_before_calls(CLIENTS[client], CLIENTS[provider])
    issued = placed_signatures(sent.blocks)
    found: list[str] = []
    for on, token in placed_signatures(received.blocks, before_calls=before_calls):
        origin, value = (provider, token) if client == provider else parse_carrier(token)
        match = next((one for one in issued if one[1] == value and _is_same_block(one[0], on)), None)
        if origin != provider:
            found.append(f"signatures: the one on {on[:60]} is not marked as {provider}'s: {token[:60]!r}")
        elif match is None:
            found.append(f"signatures: the one on {on[:60]} was not issued by {provider}: {value[:60]!r}")
        else:
            issued.remove(match)
    return found


def _is_same_block(one: str, other: str) -> bool:
    if one.startswith(CALL) or other.startswith(CALL):
        return one == other
    texts = [on.removeprefix(THINKING) if on.startswith(THINKING) else "" for on in (one, other)]
    return not all(texts) or texts[0] in texts[1] or texts[1] in texts[0]
