"""The proxy behind nginx and HAProxy with the configs that their packages ship, and the line that forwards.

Where they are not installed (`.ci/reverse-proxies install`) a client stands in that sends what they send by default.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ..proxy_fixture import Answer, Stage, config, one, read_answer, request, stage
from ..sample_messages import TEXT, ask, dumps, error_text, reply, said, stream, text_of
from ..scripted_upstream import chunked, http, upstream

KEY = "open-sesame-please"

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 768; }}
http {{
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  access_log off;
  gzip on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream crosswire {{ server 127.0.0.1:{port}; }}
  server {{
    listen 127.0.0.1:{here};
    location / {{ proxy_pass http://127.0.0.1:{port}; }}
    location /named/ {{ proxy_pass http://crosswire/; }}
  }}
}}
"""
"""Debian's nginx.conf, its paths and its log elsewhere, with the two common ways to name a server behind it."""

HAPROXY = """
global
  log stdout local0
  maxconn 100
defaults
  log global
  mode http
  option httplog
  option dontlognull
  timeout connect 5000
  timeout client 50000
  timeout server 50000
frontend door
  bind 127.0.0.1:{here}
  default_backend crosswire
backend crosswire
  server one 127.0.0.1:{port} check
"""
"""Debian's haproxy.cfg without its user and its sockets, with a frontend and a backend."""

COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "nginx": (NGINX, ("-p", "{folder}", "-c", "{file}", "-e", "{folder}/error.log")),
    "haproxy": (HAPROXY, ("-db", "-q", "-f", "{file}")),
}

Send = Callable[[bytes], Any]
"""Sends a request's bytes by way of the reverse proxy; returns the answer."""


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def before(name: str, it: Stage, folder: Path) -> AsyncIterator[Send]:
    """The reverse proxy of this name before the proxy, or the client that stands in for it."""
    command = program(name.removesuffix(" (raw)"))
    if name.endswith("(raw)"):
        yield raw_nginx(it) if name.startswith("nginx") else lambda data: exchange(it.port, data)
        return
    if command is None:
        pytest.skip(f"{name} is not installed: .ci/reverse-proxies install")
    text, args = COMMANDS[name]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        here = free.getsockname()[1]
    file = folder / f"{name}.conf"
    file.write_text(text.format(here=here, port=it.port, folder=folder))
    process = await asyncio.create_subprocess_exec(
        command,
        *(arg.format(folder=folder, file=file) for arg in args),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    if (await exchange(here, request("/livez", None))).status == 200:
                        break
                except (OSError, asyncio.IncompleteReadError):
                    pass
                await asyncio.sleep(0.02)
        yield lambda data: exchange(here, data)
    finally:
        process.terminate()
        await process.wait()


async def exchange(port: int, data: bytes) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await read_answer(reader)
    finally:
        writer.close()


def raw_nginx(it: Stage) -> Send:
    """nginx's defaults: HTTP/1.0, `Connection: close`, and `Host` as in proxy_pass.

    "By default, version 1.0 is used"; "proxy_set_header Host $proxy_host; proxy_set_header Connection close;"
    https://nginx.org/en/docs/http/ngx_http_proxy_module.html
    """

    async def send(data: bytes) -> Answer:
        head, _, body = data.partition(b"\r\n\r\n")
        first, *fields = head.split(b"\r\n")
        method, where, _ = first.split(b" ")
        host = f"127.0.0.1:{it.port}".encode()
        if where.startswith(b"/named/"):
            host, where = b"crosswire", where.removeprefix(b"/named")
        kept = [field for field in fields if not field.lower().startswith((b"host:", b"connection:"))]
        lines = [method + b" " + where + b" HTTP/1.0", b"Host: " + host, b"Connection: close", *kept]
        return await exchange(it.port, b"\r\n".join(lines) + b"\r\n\r\n" + body)

    return send


@pytest.mark.parametrize("name", ["nginx", "nginx (raw)", "haproxy", "haproxy (raw)"])
@pytest.mark.parametrize("keyed", [True, False], ids=["an admin key", "none"])
async def test_behind_a_reverse_proxy(name: str, keyed: bool, tmp_path: Path) -> None:
    """Chats pass; a page and a foreign name are refused; once there is an admin key nobody is an operator without."""
    settings: dict[str, Any] = {"admin_key": KEY} if keyed else {}
    scripts = ([http(dumps(reply("ollama")))], chunked(stream("ollama")))
    async with AsyncExitStack() as stack:
        up = await stack.enter_async_context(upstream(*scripts))
        it = await stack.enter_async_context(stage(config(one("ollama", up.url), hosts=["ai.example"], **settings)))
        send = await stack.enter_async_context(before(name, it, tmp_path))
        unary = await send(request("/api/chat", ask("ollama")))
        streamed = await send(request("/v1/chat/completions", ask("openai-chat", stream=True)))
        page = await send(request("/api/chat", ask("ollama"), {"origin": "https://evil.example"}))
        record = f"/crosswire/requests/{unary.headers['x-request-id']}"
        shown = [(await send(request(where, None))).status for where in (record, "/metrics")]
        with_key = await send(request(record, None, {"authorization": f"Bearer {KEY}"}))
        if name.startswith("nginx"):
            foreign = await send(request("/named/v1/models", None))
            listed = None
        else:  # it passes on the host that the client names
            foreign = await send(request("/v1/models", None, {"host": "crosswire"}))
            listed = await send(request("/v1/models", None, {"host": "ai.example"}))
    assert text_of("ollama", unary.body) == TEXT
    assert said("openai-chat", streamed.body) == TEXT
    assert page.status == 403
    assert foreign.status == 421
    assert "hosts: [crosswire]" in error_text("openai-chat", 421, foreign.body)
    assert listed is None or listed.status == 200
    if keyed:
        assert (shown, with_key.status) == ([401, 401], 200)
    elif name.startswith("nginx"):
        assert (shown, with_key.status) == ([403, 403], 403)
    # HAProxy as it is shipped cannot be told from a program on this machine: there the docs ask for an admin key
