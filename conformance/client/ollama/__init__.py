"""A client of the Ollama chat API: request builder and strict reply parser.

Sources: https://docs.ollama.com/api/chat and https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from crosswire.mockserver.protocols.ollama.tables import NAME

from ..protocol import ClientProtocol
from ..reply_checks import strict_parser
from ..told_losses import LossPlace
from .reply_parser import parse_reply
from .request_builder import build_request
from .tables import MERGED_STOPS

CLIENT = ClientProtocol(
    name=NAME,
    build_request=build_request,
    parse_reply=strict_parser(parse_reply, LossPlace()),
    merged_stops=MERGED_STOPS,
    keeps_order=False,
    citations=False,
    signatures=False,
    usage_details=frozenset(),
)
