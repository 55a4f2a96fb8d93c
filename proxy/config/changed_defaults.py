"""Notes on values of a config that mean something else than in an earlier version; `crosswire check` prints them.

Each change stands in the changelog under "Changed defaults". What a config can no longer do at all is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import yaml
from msgspec import Struct

from .. import headers
from ..routing import BackendConfig
from .settings import Settings
from .yaml_reader import ConfigReader

DEFAULTS = Settings()

Given: TypeAlias = frozenset[str]
"""The paths of the keys that a config has, such as `retry` and `retry.attempts`."""


class ChangedDefault(Struct, frozen=True):
    """A key that means something else now where `applies`, and what to do about it."""

    path: str
    note: str
    applies: Callable[[Settings, Given], bool] = lambda settings, given: True


CHANGED_DEFAULTS = (
    ChangedDefault(
        "admin_key",
        "is now needed for /metrics, records and explanations from loopback too; give it to what reads them",
    ),
    ChangedDefault(
        "listen",
        "must be called by its address or a listed name now, other names get a 421; add `hosts: [NAME]`",
        lambda settings, given: settings.open and "hosts" not in given,
    ),
    ChangedDefault(
        "retry.attempts",
        "counts rounds of all backends now, so it keeps no request from the next backend; give its route one target",
        lambda settings, given: settings.retry.attempts == 1,
    ),
    ChangedDefault("retry.budget", "is a budget of each backend now, no longer one for all; lower it to keep the sum"),
    ChangedDefault("retry.floor_per_s", "is for each backend now, no longer for all; lower it to keep the sum"),
    ChangedDefault("connect_timeout_s", "includes the look-up of the name and TLS now; raise it if it was close"),
    ChangedDefault(
        "max_frame",
        "bounds one frame of a stream only; whole answers are bounded by `limits.response`",
        lambda settings, given: settings.max_frame != DEFAULTS.max_frame and "limits.response" not in given,
    ),
    ChangedDefault(
        "body_limit",
        "allows larger bodies than `limits` does: see `limits.elements`, `limits.containers`, `limits.encoded_body`",
        lambda settings, given: settings.body_limit > DEFAULTS.body_limit and "limits" not in given,
    ),
    ChangedDefault(
        "records",
        "is bounded by `limits.record_memory` too, 16 MiB where it is left out",
        lambda settings, given: settings.records > DEFAULTS.records and "limits.record_memory" not in given,
    ),
    ChangedDefault(
        "relay",
        "takes away what the model refuses from relayed requests too; `crosswire traits MODEL` shows what that is",
        lambda settings, given: settings.relay == "auto",
    ),
    ChangedDefault(
        "response_headers",
        "lets a stream's last event tell of late losses too (`crosswire_losses`); without x-crosswire-loss it does not",
        lambda settings, given: headers.LOSS in settings.response_headers,
    ),
    ChangedDefault(
        "ledger",
        "its `media_out` is about the pictures and sounds of answers alone; what a request asks for is `media_asked`",
        lambda settings, given: "media_out" in settings.ledger and "media_asked" not in settings.ledger,
    ),
    ChangedDefault(
        "ledger.logprobs",
        "is about token probabilities alone now; for `logit_bias` add that word",
        lambda settings, given: "ledger.logit_bias" not in given,
    ),
    ChangedDefault(
        "ledger.service_tier",
        "is no longer about `inference_geo`, which is refused as `data_residency`; add that word to change it",
        lambda settings, given: "ledger.data_residency" not in given,
    ),
    ChangedDefault(
        "ledger.hosted_tools",
        "is no longer about tools that are loaded when they are searched for; for these add `tool_loading`",
        lambda settings, given: "ledger.tool_loading" not in given,
    ),
    ChangedDefault(
        "ledger.unknown_field",
        "is no longer about `cachedContent`, compacted conversations and parts of unknown kinds, which are refused; "
        "see `previous_response_id`, `compaction` and `content`",
        lambda settings, given: given.isdisjoint(
            ("ledger.previous_response_id", "ledger.compaction", "ledger.content")
        ),
    ),
    ChangedDefault(
        "unmapped",
        "gives the names of a vendor that has a backend here (gpt-*, claude-*, …) to no other now: 404; add a route",
        lambda settings, given: "routes" not in given,
    ),
)
"""The changes, in the order of the changelog."""


SEVERAL_PROTOCOLS = "speaks {} too, and a request goes by the one that loses least; `protocol: {}` keeps to one"
"""The note on a backend whose provider has several protocols, and that names none."""


NEXT_KEY = "has several keys, and one that is at its limit (429) gives way to the next now, before any other backend"
"""The note on a backend with several keys."""


def note_changed_defaults(
    reader: ConfigReader, nodes: Mapping[str, yaml.Node], settings: Settings, backends: Iterable[BackendConfig] = ()
) -> None:
    """Adds a note for each value of the config that relied on an earlier default or meaning."""
    for backend in backends:
        line = reader.key_lines.get(("backends", backend.name))
        if backend.speaks and line is not None:
            others = ", ".join(each.protocol for each in backend.speaks)
            what = SEVERAL_PROTOCOLS.format(others, backend.protocol)
            reader.notes.append(f"{reader.file}:{line}: backends.{backend.name}: {what}")
        if backend.spare_keys and line is not None:
            reader.notes.append(f"{reader.file}:{line}: backends.{backend.name}.api_key: {NEXT_KEY}")
    found = dict(nodes)
    for name in ("retry", "limits", "ledger"):
        node = nodes.get(name)
        if isinstance(node, yaml.MappingNode):
            found |= {f"{name}.{key.value}": value for key, value in node.value}
    given = frozenset(found)
    for change in CHANGED_DEFAULTS:
        if change.path in found and change.applies(settings, given):
            reader.note(found[change.path], change.path, change.note)
