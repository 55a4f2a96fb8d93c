"""Trace context: the headers `traceparent` and `tracestate`, by which a trace goes on from one program to the next."""

from __future__ import annotations

import re

from msgspec import Struct

SAMPLED = 0x01
"""The flag of a trace that is recorded."""

RANDOM = 0x02
"""The flag of a trace whose id was made at random, which whoever goes on with the trace leaves as it is.

"If that flag is set, at least the right-most 7 bytes of the trace-id MUST be selected randomly (or pseudo-randomly)"
https://www.w3.org/TR/trace-context-2/#random-trace-id-flag
"""

_PARENT = re.compile(r"[ \t]*([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*|[ \t]*)")
"""`version "-" trace-id "-" parent-id "-" trace-flags`; a higher version may have more behind a dash.

https://www.w3.org/TR/trace-context/#traceparent-header-field-values
"""

_MOST = 512
"""Characters of a `traceparent` that are looked at."""

_MOST_STATE = 8192
"""Characters of a `tracestate` that are passed on."""

_MOST_MEMBERS = 32
"""Members of a `tracestate`: "There can be a maximum of 32 list-members in a list."

https://www.w3.org/TR/trace-context/#tracestate-header-field-values
"""

_MEMBER = re.compile(
    # a key, with that of a tenant before an `@`, and a value of printable ASCII that does not end with a space
    r"([a-z][_0-9a-z*/-]{0,255}|[a-z0-9][_0-9a-z*/-]{0,240}@[a-z][_0-9a-z*/-]{0,13})="
    r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class Parent(Struct, frozen=True, gc=False):
    """The span of another program that a trace is continued from."""

    trace_id: int
    span_id: int
    flags: int
    state: str


def read_parent(parent: str, state: str | None) -> Parent | None:
    """The span that these headers name; None where they name none, so that a trace begins here.

    "If the vendor failed to parse traceparent, it MUST NOT attempt to parse tracestate. Note that the opposite is not
    true: failure to parse tracestate MUST NOT affect the parsing of traceparent."
    https://www.w3.org/TR/trace-context/#tracestate-header
    """
    match = _PARENT.fullmatch(parent) if len(parent) <= _MOST else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    # "Version ff is invalid"; "All bytes as zero [...] is considered an invalid value", of both ids
    # https://www.w3.org/TR/trace-context/#version and #trace-id
    if version == "ff" or (version == "00" and more.strip()) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Parent(int(trace_id, 16), int(span_id, 16), int(flags, 16), _read_state(state or ""))


def _read_state(text: str) -> str:
    """The members of a `tracestate` as they are passed on; empty where one is not valid or there twice."""
    if len(text) > _MOST_STATE:
        return ""
    members: dict[str, str] = {}
    for each in text.split(","):
        member = each.strip(" \t")
        if not member:  # "Empty list members are allowed"
            continue
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in members:
            return ""
        members[match[1]] = member
    return ",".join(members.values()) if len(members) <= _MOST_MEMBERS else ""
