"""Ways out of the house, on both transports: an HTTP proxy with CONNECT, a private authority, client certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crosswire.proxy.backends.http import HttpBackend
from crosswire.proxy.backends.transport import Timeouts
from crosswire.proxy.config import load
from crosswire.proxy.errors import ConfigError, UpstreamError
from crosswire.proxy.gateway.backend_factory import way_out
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamRequest

from ..proxy_fixture import KEY, TRANSPORTS
from ..sample_messages import dumps, reply
from ..scripted_upstream import http
from .http_proxy import http_proxy
from .test_tls import DAY, NOW, Authority


@dataclass
class Host:
    """A provider on TLS with a certificate of a private authority; it answers two requests on each connection."""

    port: int
    received: bytearray
    connections: int = 0
    shown: object = None


@contextlib.asynccontextmanager
async def host(folder: Path, name: str, authority: Authority, *, wants: Authority | None = None) -> AsyncIterator[Host]:
    context = authority.server(folder, name, NOW + DAY)
    if wants is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=wants.pem.decode())
    it = Host(0, bytearray())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        it.connections += 1
        it.shown = writer.get_extra_info("ssl_object").getpeercert()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(4096):
                it.received.extend(data)
                writer.write(http(dumps(reply("openai-chat"))))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    it.port = server.sockets[0].getsockname()[1]
    async with server:
        yield it


async def asked(transport: str, base_url: str, times: int = 1, **keys: str) -> None:
    """Asks a backend of this config so many times; raises UpstreamError where it cannot be reached."""
    text = dumps({"backends": {"b": {"protocol": "openai-chat", "base_url": base_url, "api_key": KEY, **keys}}})
    backend = load(text.decode(), "crosswire.yaml", {}).plan.backends[0]
    connect = TRANSPORTS[transport](Timeouts(5, 5), way_out=way_out(backend))
    it = HttpBackend(backend, PROTOCOLS["openai-chat"], connect, frame_limit=2**20, linger=1)
    sent = UpstreamRequest({}, (), it.target("m"))
    try:
        for _ in range(times):
            await it.reply(sent, b"{}", {}, lambda prefix: prefix + "1")
    finally:
        await it.close()


both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
async def test_a_private_authority_is_trusted_where_the_config_says_so(transport: str, tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    async with host(tmp_path, "localhost", authority) as it:
        url = f"https://localhost:{it.port}/v1"
        with pytest.raises(UpstreamError) as caught:
            await asked(transport, url)
        assert "its certificate cannot be verified" in caught.value.failure.message
        assert it.received == b""
        await asked(transport, url, ca_file=str(tmp_path / "ca.pem"))
        assert KEY.encode() in it.received


@both
async def test_another_authority_is_not_trusted(transport: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().pem)
    async with host(tmp_path, "localhost", Authority()) as it:
        with pytest.raises(UpstreamError):
            await asked(transport, f"https://localhost:{it.port}/v1", ca_file=str(tmp_path / "ca.pem"))
        assert it.received == b""


@both
@pytest.mark.parametrize("apart", [False, True], ids=["one file", "two files"])
async def test_a_host_that_wants_a_certificate_is_shown_one(transport: str, apart: bool, tmp_path: Path) -> None:
    authority, of_clients = Authority(), Authority()
    key, certificate = of_clients.pair("crosswire.example", NOW + DAY)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "client.pem").write_bytes(certificate if apart else key + certificate)
    (tmp_path / "client.key").write_bytes(key)
    keys = {"ca_file": str(tmp_path / "ca.pem"), "client_cert": str(tmp_path / "client.pem")}
    if apart:
        keys["client_key"] = str(tmp_path / "client.key")
    async with host(tmp_path, "localhost", authority, wants=of_clients) as it:
        url = f"https://localhost:{it.port}/v1"
        with pytest.raises(UpstreamError):
            await asked(transport, url, ca_file=keys["ca_file"])
        assert it.received == b""
        await asked(transport, url, **keys)
        assert "crosswire.example" in str(it.shown)


@both
async def test_tls_goes_through_a_tunnel(transport: str, tmp_path: Path) -> None:
    """The proxy looks the name up, sees nothing of the request, and a connection is used again."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    async with host(tmp_path, "models.invalid", authority) as it, http_proxy(password="p w") as proxy:
        url = f"https://models.invalid:{it.port}/v1"
        through = f"http://user:p%20w@127.0.0.1:{proxy.port}"
        await asked(transport, url, 2, proxy=through, ca_file=str(tmp_path / "ca.pem"))
        assert proxy.asked == [f"CONNECT models.invalid:{it.port} HTTP/1.1"]
        assert it.connections == 1
        assert b"proxy-authorization" not in bytes(it.received).lower()
        assert KEY.encode() in it.received


@both
async def test_without_tls_the_proxy_gets_the_whole_address(transport: str) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(4096))
        writer.write(http(dumps(reply("openai-chat"))))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, http_proxy(password="secret") as proxy:
        port = server.sockets[0].getsockname()[1]
        through = f"http://user:secret@127.0.0.1:{proxy.port}"
        await asked(transport, f"http://models.invalid:{port}/v1", proxy=through)
    assert proxy.asked == [f"POST http://models.invalid:{port}/v1/chat/completions HTTP/1.1"]
    assert b"proxy-authorization" not in received[0].lower()


REFUSALS: dict[str, tuple[dict[str, object], str]] = {
    "a wrong password": ({"password": "right"}, "the HTTP proxy answered 407"),
    "a host that the proxy does not allow": ({"status": 403}, "the HTTP proxy answered 403"),
    "a host that the proxy cannot reach": ({"status": 502}, "the HTTP proxy answered 502"),
}


@both
async def test_a_wrong_password_without_tls(transport: str) -> None:
    async with http_proxy(password="right") as proxy:
        with pytest.raises(UpstreamError) as caught:
            await asked(transport, "http://models.invalid/v1", proxy=f"http://user:wrong@127.0.0.1:{proxy.port}")
    assert caught.value.failure.kind == "upstream_unreachable"
    assert "the HTTP proxy answered 407" in caught.value.failure.message


@both
@pytest.mark.parametrize(("settings", "said"), REFUSALS.values(), ids=list(REFUSALS))
async def test_a_proxy_that_refuses(transport: str, settings: dict[str, object], said: str) -> None:
    async with http_proxy(**settings) as proxy:
        with pytest.raises(UpstreamError) as caught:
            await asked(transport, "https://models.invalid/v1", proxy=f"http://user:wrong@127.0.0.1:{proxy.port}")
    found = caught.value
    assert found.failure.kind == "upstream_unreachable"
    assert not found.was_sent
    assert said in found.failure.message
    assert "wrong" not in found.failure.message
    assert str(proxy.port) not in found.failure.message


@both
async def test_a_proxy_that_is_not_there(transport: str) -> None:
    async with http_proxy() as proxy:
        port = proxy.port
    with pytest.raises(UpstreamError) as caught:
        await asked(transport, "https://models.invalid/v1", proxy=f"http://127.0.0.1:{port}")
    assert caught.value.failure.kind == "upstream_unreachable"
    assert "connection refused" in caught.value.failure.message


def test_an_encrypted_key_is_an_error_and_no_question(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_bytes(b"".join(Authority().pair("x", NOW + DAY, b"secret")))
    text = dumps(
        {"backends": {"b": {"protocol": "ollama", "base_url": "https://h", "client_cert": f"{tmp_path}/client.pem"}}}
    )
    with pytest.raises(ConfigError, match=r"client_cert: has an encrypted key"):
        load(text.decode(), "crosswire.yaml", {})
