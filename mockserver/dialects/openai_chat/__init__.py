"""OpenAI Chat Completions, as the mock speaks it: `ask` and `hear` as a client, `read`, `heed` and `say` as a server.

Source of the wire: https://platform.openai.com/docs/api-reference/chat and
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from ..contract import Dialect, sturdy
from .ask import ask
from .hear import hear
from .heed import heed, list_models, route
from .read import read
from .say import say, say_error
from .words import BLURS, MAX_CALL_ID, NAME, TOOL_NAME

DIALECT = Dialect(
    name=NAME,
    ask=ask,
    hear=sturdy(hear),
    read=read,
    heed=heed,
    say=say,
    say_error=say_error,
    route=route,
    list_models=list_models,
    blurs=BLURS,
    interleaves=True,
    seals=True,
    call_ids_like=rf".{{1,{MAX_CALL_ID}}}",
    tool_names=TOOL_NAME,
    custom_tools=True,
)
