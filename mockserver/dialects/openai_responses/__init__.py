"""OpenAI Responses, as the mock speaks it: `ask` and `hear` as a client, `read`, `heed` and `say` as a server.

Source of the wire: https://platform.openai.com/docs/api-reference/responses and
https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from ..contract import Dialect
from .ask import ask
from .hear import hear
from .heed import heed, list_models, route
from .read import read
from .say import count, say, say_error
from .words import BLURS, MAX_CALL_ID, NAME, TOOL_NAME

DIALECT = Dialect(
    name=NAME,
    ask=ask,
    hear=hear,
    read=read,
    heed=heed,
    say=say,
    say_error=say_error,
    route=route,
    list_models=list_models,
    count=count,
    blurs=BLURS,
    seals=True,
    call_ids_like=rf".{{1,{MAX_CALL_ID}}}",
    # hosts of the open form of this protocol take 64: https://github.com/openresponses/openresponses
    tool_names=rf"(?=.{{1,64}}$){TOOL_NAME}",
    custom_tools=True,
    namespaces=True,
)
