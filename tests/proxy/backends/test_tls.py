"""A backend whose certificate cannot be verified is unreachable: nothing is sent to it."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crosswire.proxy.backends.http import HttpBackend
from crosswire.proxy.backends.transport import Timeouts
from crosswire.proxy.errors import UpstreamError
from crosswire.proxy.ir import Failure
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamRequest
from crosswire.proxy.routing import BackendConfig

from ..proxy_fixture import KEY, TRANSPORTS
from ..sample_messages import dumps, reply
from ..scripted_upstream import http

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)


class Authority:
    """A certificate authority that signs certificates for a server's name."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the authority of a test")])
        self.pem = self._sign(self._name, self._key, NOW + 10 * DAY, None)

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime.datetime, host: str | None
    ) -> bytes:
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 20 * DAY)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def server(self, folder: Path, host: str, end: datetime.datetime) -> ssl.SSLContext:
        """The context of a server with a certificate for this name until then."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        file = folder / "server.pem"
        file.write_bytes(b"".join(self.pair(host, end)))
        context.load_cert_chain(file)
        return context

    def pair(self, host: str, end: datetime.datetime, password: bytes | None = None) -> tuple[bytes, bytes]:
        """A private key and its certificate for this name, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        lock = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        return private, self._sign(name, key, end, host)


CERTIFICATES: dict[str, tuple[str, datetime.timedelta, bool]] = {
    "good": ("localhost", DAY, True),
    "expired": ("localhost", -DAY, True),
    "of another name": ("example.org", DAY, True),
    "of an unknown authority": ("localhost", DAY, False),
}
"""The certificate's name, how long it is valid, and whether its authority is trusted."""


CASES = [pair for pair in product(CERTIFICATES, TRANSPORTS) if pair != ("good", "aiohttp")]
"""The certificates and transports; aiohttp reads the authorities when it is imported, before a test can add one."""


@pytest.mark.parametrize(("certificate", "transport"), CASES)
async def test_a_certificate_that_cannot_be_verified(
    certificate: str, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, valid, trusted = CERTIFICATES[certificate]
    authority = Authority()
    (tmp_path / "authority.pem").write_bytes((authority if trusted else Authority()).pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(4096))
        writer.write(http(dumps(reply("openai-chat"))))
        writer.close()

    context = authority.server(tmp_path, host, NOW + valid)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        backend = BackendConfig(name="b", protocol="openai-chat", base_url=url, api_key=KEY)
        it = HttpBackend(
            backend, PROTOCOLS["openai-chat"], TRANSPORTS[transport](Timeouts(5, 5)), frame_limit=2**20, linger=1
        )
        sent = UpstreamRequest({}, (), it.target("m"))
        try:
            if certificate == "good":
                await it.reply(sent, b"{}", {}, lambda prefix: prefix + "1")
                assert KEY.encode() in received
                return
            with pytest.raises(UpstreamError) as caught:
                await it.reply(sent, b"{}", {}, lambda prefix: prefix + "1")
        finally:
            await it.close()
    assert isinstance(caught.value.failure, Failure)
    assert caught.value.failure.kind == "upstream_unreachable"
    assert received == b""
