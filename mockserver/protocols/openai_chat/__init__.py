"""Server side of OpenAI Chat Completions: request parser, request validator, reply writer and endpoints.

Wire format: https://platform.openai.com/docs/api-reference/chat and
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from ..openai_platform import list_models
from ..protocol import MockProtocol
from .endpoints import endpoint_of
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
)
