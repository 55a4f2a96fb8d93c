"""Server side of Anthropic Messages: request parser, request validator, reply writer and endpoints.

Wire format: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/build-with-claude/streaming
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
