"""Server side of the Ollama chat API: request parser, request validator, reply writer and endpoints.

Wire format: https://docs.ollama.com/api/chat and https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from ...framing import NDJSON
from ..protocol import MockProtocol
from .endpoints import list_models
from .generate import RULES, endpoint_of, parse_request, render_reply
from .reply_writer import render_error
from .tables import NAME

PROTOCOL = MockProtocol(
    name=NAME,
    parse_request=parse_request,
    rules=RULES,
    render_reply=render_reply,
    render_error=render_error,
    endpoint_of=endpoint_of,
    list_models=list_models,
    framing=NDJSON,
)
