"""Checks of signatures: each must stay on its block, keep its value, and return to the provider that made it.

A client of another protocol carries a signature in a token that names its provider.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from crosswire.mockserver.scenarios.model import Block, Thinking, ToolCall

from ..client.protocol import ClientProtocol

PlacedSignature: TypeAlias = tuple[str, str]
"""(description of the signed block, signature)"""

CARRIER_PREFIX = b"cw1"
"""Start of a carrier token: `base64("cw1" + provider + NUL + signature)`."""

PLACEHOLDER_SIGNATURES = frozenset({"skip_thought_signature_validator"})
"""Values that are documented as placeholders for a missing signature.

https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
"""


CARRYING_PROTOCOLS = ("anthropic", "openai-responses")
"""Protocols whose calls have no signature field: an empty thinking block before the call carries a foreign one."""


def placed_signatures(blocks: Sequence[Block], *, before_calls: bool = False) -> list[PlacedSignature]:
    """Returns every signature with its block: a thinking block by its text, a call by its name, or an empty block.

    With `before_calls` an empty thinking block just before a call carries that call's signature.
    """
    out: list[PlacedSignature] = []
    for at, block in enumerate(blocks):
        after = blocks[at + 1] if at + 1 < len(blocks) else None
        match block:
            case Thinking(text, str(signature), redacted) if signature:
                if text:
                    out.append((f"the thinking block {''.join(text.split())}", signature))
                elif (
                    before_calls and isinstance(after, ToolCall) and not redacted and not _is_on_empty_block(signature)
                ):
                    out.append((f"the call of {after.name}", signature))
                else:
                    out.append(("an empty block", signature))
            case ToolCall(name=name, signature=str(signature)) if signature:
                out.append((f"the call of {name}", signature))
            case _:
                pass
    return [one for one in out if one[1] not in PLACEHOLDER_SIGNATURES]


def is_carried_before_calls(client: ClientProtocol, upstream: ClientProtocol) -> bool:
    """Returns True if this client receives the signatures of calls in empty thinking blocks before them."""
    return client.name in CARRYING_PROTOCOLS and client.name != upstream.name


def parse_carrier(signature: str) -> tuple[str | None, str]:
    """Parses a carrier token into provider and signature; the provider is None if the value is not a token."""
    token = _decode_carrier(signature)
    return (None, signature) if token is None else (token[0], token[1].rpartition("\0")[2])


def _is_on_empty_block(signature: str) -> bool:
    """Returns True if a token states, before the signature, that it belongs to an empty block."""
    token = _decode_carrier(signature)
    return token is not None and "\0" in token[1]


def _decode_carrier(signature: str) -> tuple[str, str] | None:
    try:
        raw = b64decode(signature, validate=True)
        provider, nul, value = raw.removeprefix(CARRIER_PREFIX).decode().partition("\0")
    except (Error, ValueError):
        return None
    return (provider, value) if raw.startswith(CARRIER_PREFIX) and nul else None


def reply_signature_errors(
    sent: Iterable[PlacedSignature], received: Iterable[PlacedSignature], provider: str, *, same_protocol: bool
) -> list[str]:
    """Returns what is wrong with the signatures that a client received.

    A missing signature is a loss, not an error; a received one must be the provider's, on the same block.
    """
    remaining = Counter(sent)
    found: list[str] = []
    for on, token in received:
        origin, signature = (provider, token) if same_protocol else parse_carrier(token)
        if origin != provider:
            found.append(f"the signature on {on} is not marked as {provider}'s: {token[:60]!r}")
        elif not remaining[on, signature]:
            found.append(f"the signature on {on} was not sent by {provider}: {signature[:60]!r}")
        else:
            remaining[on, signature] -= 1
    return found


def request_signature_errors(
    sent: Iterable[PlacedSignature], received: Iterable[PlacedSignature], provider: str, *, same_protocol: bool
) -> tuple[list[str], list[PlacedSignature]]:
    """Returns what is wrong with the signatures that reached a provider, and those of other providers.

    Each signature of this provider must return unchanged on the same block; no other may reach it.
    """
    own: Counter[PlacedSignature] = Counter()
    foreign: list[PlacedSignature] = []
    for on, token in sent:
        origin, signature = parse_carrier(token)
        if origin == provider or (origin is None and same_protocol):
            own[on, signature] += 1
        else:
            foreign.append((on, token))
    arrived = Counter(received)
    found = [
        f"the signature {signature[:60]!r} on {on} was not returned" for on, signature in (own - arrived).elements()
    ]
    found += [
        f"the signature {signature[:60]!r} on {on} is not one that the client sent"
        for on, signature in (arrived - own).elements()
    ]
    return found, foreign


def signatures_of_turns(turns: Iterable[Sequence[Block]], *, before_calls: bool = False) -> list[PlacedSignature]:
    """Returns the signatures of all turns of a history."""
    return [one for blocks in turns for one in placed_signatures(blocks, before_calls=before_calls)]
