"""Anthropic Messages, as the mock speaks it: `ask` and `hear` as a client, `read`, `heed` and `say` as a server.

Source of the wire: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from ..contract import Dialect, sturdy
from .ask import ask
from .hear import hear
from .heed import count, heed, list_models, route
from .read import read
from .say import say, say_error
from .words import CALL_ID, NAME, TOOL_NAME

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
    count=count,
    seals=True,
    call_ids_like=CALL_ID,
    tool_names=TOOL_NAME,
)
