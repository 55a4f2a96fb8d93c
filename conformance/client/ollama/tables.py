"""Tables of the Ollama client: stop reasons, error kinds, and other names that only replies have."""

from __future__ import annotations

STOP_REASONS: dict[str, str] = {"stop": "end", "length": "length"}
"""`done_reason` -> neutral stop; `stop` beside calls is parsed as `tool`, an unknown value as `other`."""

OTHER_STOPS = frozenset({"load", "unload"})
"""Done reasons of requests that generate nothing. https://github.com/ollama/ollama/blob/main/docs/api.md"""

MERGED_STOPS: dict[str, str] = {"stop_sequence": "end", "content_filter": "end"}
"""`done_reason` knows `stop` and `length` only.

https://github.com/ollama/ollama/blob/main/llm/server.go (DoneReason)
"""

EFFORTS: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "max"}
"""Effort -> value of `think`; other efforts keep their name."""
