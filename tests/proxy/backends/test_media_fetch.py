"""Addresses that may be connected to for a file, and hosts that an entry of the list means."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from crosswire.proxy.backends import media_fetch
from crosswire.proxy.backends.media_fetch import FetchSettings, NotFetched, checked_url, fetch_media, is_permitted
from crosswire.proxy.backends.transport import DEFAULT_NAMES

ADDRESSES: list[tuple[str, Any, bool]] = [
    ("93.184.215.14", False, True),
    ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", False, True),
    *((address, False, False) for address in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1")),
    *((address, False, False) for address in ("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255")),
    *((address, False, False) for address in ("::1", "::", "fe80::1", "fc00::1", "ff02::1")),
    # addresses that wrap a private one: IPv4-mapped, NAT64, 6to4
    *((address, False, False) for address in ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")),
    ("127.0.0.1", True, True),
    ("10.1.2.3", True, True),
    ("fc00::1", True, True),
    ("169.254.169.254", True, False),  # at which clouds tell a machine its own credentials
    ("fe80::1", True, False),
    ("::", True, False),
    ("169.254.169.254", ("169.254.169.254/32",), True),
    ("10.1.2.3", ("10.0.0.0/8",), True),
    ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
    ("192.168.1.1", ("10.0.0.0/8",), False),
]


@pytest.mark.parametrize(("address", "private", "wanted"), ADDRESSES)
def test_addresses(address: str, private: Any, wanted: bool) -> None:
    networks = private if isinstance(private, bool) else tuple(map(ipaddress.ip_network, private))
    settings = FetchSettings(private=networks)
    assert is_permitted(ipaddress.ip_address(address), settings) is wanted


HOSTS = [
    ("https://pictures.example/a.png", "pictures.example", True),
    ("https://PICTURES.example./a.png", "pictures.example", True),
    ("https://pictures.example:8443/a.png", "pictures.example", True),
    ("https://pictures.example/a.png", "pictures.example:443", True),
    ("https://pictures.example:8443/a.png", "pictures.example:443", False),
    ("https://a.pictures.example/a.png", "pictures.example", False),
    ("https://a.pictures.example/a.png", "*.pictures.example", True),
    ("https://pictures.example/a.png", "*.pictures.example", False),
    ("https://evilpictures.example/a.png", "*.pictures.example", False),
    ("https://pictures.example.evil/a.png", "pictures.example", False),
    ("https://pictures.example@evil/a.png", "pictures.example", False),
    ("https://evil/pictures.example", "pictures.example", False),
    ("http://[::1]/a.png", "::1", True),
    ("http://[::1]:8080/a.png", "[::1]:8080", True),
    ("file:///etc/passwd", "etc", False),
    ("ftp://pictures.example/a", "pictures.example", False),
    ("https:///a", "pictures.example", False),
    ("https://[::1", "::1", False),
]


@pytest.mark.parametrize(("url", "entry", "wanted"), HOSTS)
def test_hosts(url: str, entry: str, wanted: bool) -> None:
    settings = FetchSettings(allow=frozenset((entry,)))
    if wanted:
        assert checked_url(url, settings).path == "/a.png"
    else:
        with pytest.raises(NotFetched):
            checked_url(url, settings)


async def test_a_name_that_changes_is_connected_to_at_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resolver that says another address each time gets no second question."""
    asked: list[str] = []

    class Rebinding:
        async def addresses(self, host: str, port: int) -> list[Any]:
            asked.append(host)
            return [(2, 1, 6, "", ("127.0.0.1" if len(asked) > 1 else "10.0.0.1", port))]

    monkeypatch.setattr(media_fetch, "shared_resolver", lambda names: Rebinding())
    settings = FetchSettings(allow=frozenset(("rebinding.example",)))
    with pytest.raises(NotFetched, match="not on the internet"):
        await fetch_media("http://rebinding.example/a.png", settings, DEFAULT_NAMES)
    assert asked == ["rebinding.example"]
