"""Media types: misnomers, types that the bytes show, and text files."""

from __future__ import annotations

from base64 import b64encode

import pytest

from crosswire.proxy.ir.media_type import ALIASES, is_text, media_type, text_of


def _base64(head: bytes) -> str:
    return b64encode(head + bytes(32)).decode()


JPEG, PNG, WEBP, WAV = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WAVE"


@pytest.mark.parametrize(
    ("label", "data", "name"),
    [
        ("image/jpg", None, "image/jpeg"),
        ("IMAGE/JPG", None, "image/jpeg"),
        ("image/pjpeg", None, "image/jpeg"),
        ("image/x-png", None, "image/png"),
        ("text/x-pdf", None, "application/pdf"),
        ("audio/x-wav", None, "audio/wav"),
        ("text/plain; charset=utf-8", None, "text/plain"),
        ("image/heic", None, "image/heic"),
        ("", None, None),
        (None, None, None),
        (None, _base64(PNG), "image/png"),
        ("application/octet-stream", _base64(b"%PDF-1.7"), "application/pdf"),
        ("image/png", _base64(JPEG), "image/jpeg"),
        ("image/*", _base64(WEBP), "image/webp"),
        ("audio/x-wav", _base64(WAV), "audio/wav"),
        ("application/pdf", _base64(PNG), "application/pdf"),
        ("image/png", "not base64!", "image/png"),
        (None, _base64(b"nothing known"), None),
    ],
)
def test_media_type(label: str | None, data: str | None, name: str | None) -> None:
    assert media_type(label, data) == name


def test_an_alias_is_no_name() -> None:
    assert not ALIASES.keys() & set(ALIASES.values())


@pytest.mark.parametrize(
    ("mime", "expected"),
    [
        ("text/csv", True),
        ("application/json", True),
        ("image/svg+xml", True),
        ("application/pdf", False),
        (None, False),
    ],
)
def test_is_text(mime: str | None, expected: bool) -> None:
    assert is_text(mime) is expected


def test_text_of() -> None:
    assert text_of(b64encode("größe".encode()).decode()) == "größe"
    assert text_of(b64encode(b"\xff\xfe").decode()) is None
    assert text_of("no base64") is None
