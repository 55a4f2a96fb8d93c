"""The proxy: any LLM client to any LLM backend, and no silent loss.

Its Python API, which routes requests within a program, is exported here:

    from crosswire.proxy import BackendRouter
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .library import BackendRouter, Body, RouteError, Stream, StreamBroken, get_router, reset_router

__all__ = ["BackendRouter", "Body", "RouteError", "Stream", "StreamBroken", "get_router", "reset_router"]


def __getattr__(name: str) -> Any:
    """Imports the Python API at its first use, so that importing one of its modules costs no more than that module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import library

    return getattr(library, name)
