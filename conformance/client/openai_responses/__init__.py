"""A client of OpenAI Responses: request builder and strict reply parser.

Sources: https://platform.openai.com/docs/api-reference/responses and
https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from crosswire.mockserver.protocols.openai_responses.tables import MAX_CALL_ID, NAME, TOOL_NAME

from ..protocol import ClientProtocol
from ..reply_checks import strict_parser
from ..told_losses import LossPlace
from .reply_parser import parse_reply
from .request_builder import build_request
from .tables import MERGED_STOPS

CLIENT = ClientProtocol(
    name=NAME,
    build_request=build_request,
    parse_reply=strict_parser(parse_reply, LossPlace(within=("response",))),
    merged_stops=MERGED_STOPS,
    call_ids_like=rf".{{1,{MAX_CALL_ID}}}",
    # hosts of the Open Responses specification accept 64 characters: https://github.com/openresponses/openresponses
    tool_names=rf"(?=.{{1,64}}$){TOOL_NAME}",
    custom_tools=True,
    namespaces=True,
)
