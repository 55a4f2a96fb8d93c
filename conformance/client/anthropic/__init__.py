"""A client of Anthropic Messages: request builder and strict reply parser.

Sources: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from crosswire.mockserver.protocols.anthropic.tables import CALL_ID, NAME, TOOL_NAME

from ..protocol import ClientProtocol
from ..reply_checks import strict_parser
from ..told_losses import LossPlace
from .reply_parser import parse_reply
from .request_builder import build_request

CLIENT = ClientProtocol(
    name=NAME,
    build_request=build_request,
    parse_reply=strict_parser(parse_reply, LossPlace(closing=("message_stop",))),
    call_ids_like=CALL_ID,
    tool_names=TOOL_NAME,
)
