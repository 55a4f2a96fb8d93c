"""Runs a module with host names of its own: `python -m benchmarks.with_names NAMES MODULE ARGUMENTS...`.

NAMES is JSON: by host its addresses, or a number of seconds for which its look-up hangs before it fails.
"""

from __future__ import annotations

import json
import runpy
import socket
import sys
import time
from typing import Any

Names = dict[str, "list[str] | float"]


def look_up(names: Names, host: str, port: int | None) -> list[Any]:
    """The addresses of a name, as `socket.getaddrinfo` has them; raises gaierror after its time where it hangs."""
    found = names[host]
    if not isinstance(found, list):
        time.sleep(found)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port or 0)) for address in found]


def main() -> None:
    names: Names = json.loads(sys.argv[1])
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **keys: Any) -> Any:
        return look_up(names, host, port) if host in names else system(host, port, *arguments, **keys)

    socket.getaddrinfo = getaddrinfo
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
