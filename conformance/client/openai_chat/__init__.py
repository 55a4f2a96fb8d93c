"""A client of OpenAI Chat Completions: request builder and strict reply parser.

Sources: https://platform.openai.com/docs/api-reference/chat and
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from crosswire.mockserver.protocols.openai_chat.tables import MAX_CALL_ID, NAME, TOOL_NAME

from ..protocol import ClientProtocol
from ..reply_checks import strict_parser
from ..told_losses import LossPlace
from .reply_parser import parse_reply
from .request_builder import build_request
from .tables import MERGED_STOPS

CLIENT = ClientProtocol(
    name=NAME,
    build_request=build_request,
    parse_reply=strict_parser(parse_reply, LossPlace(within=("error", "usage"))),
    merged_stops=MERGED_STOPS,
    call_ids_like=rf".{{1,{MAX_CALL_ID}}}",
    tool_names=TOOL_NAME,
    custom_tools=True,
)
