"""Ollama's chat API, as the mock speaks it: `ask` and `hear` as a client, `read`, `heed` and `say` as a server.

Source of the wire: https://docs.ollama.com/api/chat and https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from ...frames import NDJSON
from ..contract import Dialect, sturdy
from .ask import ask
from .hear import hear
from .heed import heed, list_models, route
from .read import read
from .say import say, say_error
from .words import BLURS, NAME

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
    framing=NDJSON,
    blurs=BLURS,
    places=False,
    details=frozenset(),
)
