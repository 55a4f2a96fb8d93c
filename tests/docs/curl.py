"""A small `curl` for the pages' examples: waits for the server, and knows the flags that they use.

Usage: curl.py [-s] [-i] [-N] [-X METHOD] [-H HEADER]... [-d DATA] URL
"""

from __future__ import annotations

import argparse
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

PATIENCE_S = 5


def main() -> int:
    parser = argparse.ArgumentParser()
    for flag in ("-s", "-i", "-N"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("url")
    args = parser.parse_args()
    url = urlsplit(args.url)
    assert url.scheme == "http", "the examples use no network"
    assert url.hostname in ("127.0.0.1", "localhost"), "the examples use no network"
    headers = dict(header.split(": ", 1) for header in args.headers)
    if args.data is not None:
        headers.setdefault("content-type", "application/x-www-form-urlencoded")  # as curl does
    body = None if args.data is None else args.data.encode()
    method = args.method or ("GET" if body is None else "POST")
    path = f"{url.path}?{url.query}" if url.query else url.path or "/"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        connection = HTTPConnection("127.0.0.1", url.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    response = connection.getresponse()
    if args.i:
        print(f"HTTP/1.1 {response.status} {response.reason}")
        print(*(f"{name}: {value}" for name, value in response.getheaders()), "", sep="\n", flush=True)
    sys.stdout.buffer.write(response.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
