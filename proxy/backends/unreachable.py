"""The failure for a connection that was not made, or that broke before an answer began."""

from __future__ import annotations

from ..errors import failure
from ..ir import Failure
from .transport import NameNotResolved, OutOfResources, Unreachable


def unreachable(name: str, fault: Unreachable) -> Failure:
    """Returns the failure of the backend with this name."""
    match fault:
        case OutOfResources():
            text = f"The proxy itself has no file descriptor, memory or port left ({fault}) to call backend '{name}'."
            return failure("out_of_resources", text)
        case NameNotResolved():
            return failure("upstream_dns", f"The host name of backend '{name}' cannot be resolved ({fault}).")
        case _:
            return failure("upstream_unreachable", f"Backend '{name}' cannot be reached ({fault}).")
