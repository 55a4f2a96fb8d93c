"""Server side of the Gemini API: request parser, request validator, reply writer and endpoints.

Wire format: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

from ..protocol import MockProtocol
from .endpoints import count_tokens, endpoint_of, list_models
from .reply_writer import render_error, render_reply
from .request_parser import parse_request
from .request_validator import RULES
from .tables import NAME

PROTOCOL = MockProtocol(
    name=NAME,
    parse_request=parse_request,
    rules=RULES,
    render_reply=render_reply,
    render_error=render_error,
    endpoint_of=endpoint_of,
    list_models=list_models,
    count_tokens=count_tokens,
)
