"""The Gemini API, as the mock speaks it: `ask` and `hear` as a client, `read`, `heed` and `say` as a server.

Source of the wire: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

from ..contract import Dialect, sturdy
from .ask import ask
from .hear import hear
from .heed import count, heed, list_models, route
from .read import read
from .say import say, say_error
from .words import BLURS, NAME, TOOL_NAME

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
    blurs=BLURS,
    seals=True,
    call_ids=False,
    tool_names=TOOL_NAME,
    details=frozenset({"cache_read", "reasoning"}),
)
