"""Data URLs, in base64 and percent-encoded."""

from __future__ import annotations

import pytest

from crosswire.proxy.ir import Media
from crosswire.proxy.ir.data_url import media_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,AAAA", Media("image/png", "AAAA")),
        ("data:image/jpg;base64,/9j/4AAQ", Media("image/jpeg", "/9j/4AAQ")),
        ("DATA:image/png;BASE64,AAAA", Media("image/png", "AAAA")),
        ("data:text/plain;charset=utf-8;base64,AAAA", Media("text/plain", "AAAA")),
        ("data:;base64,AAAA", Media(None, "AAAA")),
        ("data:image/png;base64,iVBORw0KGgo%3D", Media("image/png", "iVBORw0KGgo=")),
        ("data:text/plain,not%20base64", Media("text/plain", text="not base64")),
        ("data:,plain", Media("text/plain", text="plain")),
        ("data:text/csv,a%2Cb%0A1%2C2", Media("text/csv", text="a,b\n1,2")),
        ("data:image/svg+xml,%3Csvg/%3E", Media("image/svg+xml", text="<svg/>")),
        ("data:application/pdf,%25PDF", Media("application/pdf", "JVBERg==")),
        ("data:nothing", Media(url="data:nothing")),
        ("https://pictures.example/a.png", Media(url="https://pictures.example/a.png")),
    ],
)
def test_media_of(url: str, expected: Media) -> None:
    assert media_of(url) == expected
