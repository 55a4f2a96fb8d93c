"""A client of the Gemini API: request builder and strict reply parser.

Sources: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

from crosswire.mockserver.protocols.gemini.tables import NAME, TOOL_NAME

from ..protocol import ClientProtocol
from ..reply_checks import strict_parser
from ..told_losses import LossPlace
from .reply_parser import parse_reply
from .request_builder import build_request
from .tables import MERGED_STOPS

CLIENT = ClientProtocol(
    name=NAME,
    build_request=build_request,
    parse_reply=strict_parser(parse_reply, LossPlace(within=("usageMetadata",))),
    merged_stops=MERGED_STOPS,
    call_ids=False,
    tool_names=TOOL_NAME,
    usage_details=frozenset({"cache_read", "reasoning"}),
)
