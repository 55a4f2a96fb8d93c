"""Selects the headers of a client that the gateway reads, and those that a backend of the client's protocol gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from .. import headers
from ..protocols.protocol import Protocol


def read_names(protocol: Protocol) -> tuple[str, ...]:
    """The names of all headers that the gateway reads of this protocol's clients; all others end at the server."""
    return (*protocol.forwarded_headers, *headers.CONTROL, headers.VIA, *headers.TRACE, headers.USER_AGENT)


def forwarded_headers(protocol: Protocol, client: Mapping[str, str], betas: Iterable[str] | None) -> dict[str, str]:
    """The client's headers for a backend of its own protocol. `betas` are patterns of the beta flags it takes, or
    all."""
    found = {
        name: text
        for name in protocol.forwarded_headers
        if (text := client.get(name)) and text.isascii() and text.isprintable()
    }
    beta = protocol.beta_header
    if betas is not None and beta is not None and beta in found:
        # a host that knows only some flags refuses the whole request for one more: "invalid beta flag"
        # https://github.com/anthropics/claude-code/issues/49370
        flags = (flag.strip() for flag in found.pop(beta).split(","))
        if kept := [flag for flag in flags if any(fnmatchcase(flag, pattern) for pattern in betas)]:
            found[beta] = ",".join(kept)
    return found
