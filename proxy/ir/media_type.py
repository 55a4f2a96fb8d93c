"""Media types as the vendors spell them: misnomers are corrected, and the bytes of the data tell the true type."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from mimetypes import guess_extension

from .model import Media

ALIASES: dict[str, str] = {
    # "image/jpg" is no registered type: https://www.iana.org/assignments/media-types/media-types.xhtml#image
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/jfif": "image/jpeg",
    "image/x-jpeg": "image/jpeg",
    "image/x-jpg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-gif": "image/gif",
    "image/x-webp": "image/webp",
    "image/x-ms-bmp": "image/bmp",
    "image/x-bmp": "image/bmp",
    "audio/x-mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-mpeg-3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "application/x-pdf": "application/pdf",
    "application/acrobat": "application/pdf",
    "text/pdf": "application/pdf",
    "text/x-pdf": "application/pdf",
    "text/x-markdown": "text/markdown",
    "text/x-json": "application/json",
    "text/json": "application/json",
    "application/csv": "text/csv",
    "application/x-csv": "text/csv",
    "text/x-csv": "text/csv",
    "video/mpg": "video/mpeg",
    "video/x-m4v": "video/mp4",
    "video/mov": "video/quicktime",
}
"""Misnomer to the registered name of a media type."""

TEXT_TYPES = (
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
    "application/x-javascript",
    "application/typescript",
    "application/x-sh",
    "application/sql",
    "application/x-ndjson",
)
"""Types outside of `text/` whose files are text all the same."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"%PDF-", "application/pdf"),
    (8, b"WAVE", "audio/wav"),
)
"""Position and bytes by which a file of a type is known."""

_HEAD = 16
"""Characters of base64 that hold the first twelve bytes."""


def media_type(label: str | None, data: str | None = None) -> str | None:
    """Returns the registered name of a type, or the type that base64 data shows where its label says another.

    Anthropic refuses an image whose label is not that of its bytes: "Image does not match the provided media type".
    Data decides only over a label that is missing, says nothing, or names another type of the same family.
    """
    name = None
    if label:
        name = label.partition(";")[0].strip().lower()
        name = ALIASES.get(name, name) or None
    if data:
        seen = _seen(data)
        if seen is not None and (
            name in (None, "application/octet-stream", "binary/octet-stream", "*/*", "image/*")
            or (name is not None and name != seen and name.partition("/")[0] == seen.partition("/")[0] == "image")
        ):
            return seen
    return name


def is_text(mime: str | None) -> bool:
    """Returns true if files of this type are text."""
    return mime is not None and (mime.startswith("text/") or mime in TEXT_TYPES or mime.endswith(("+json", "+xml")))


def is_text_media(media: Media) -> bool:
    """Returns true if the media is a text, or a file of a type that is one."""
    return media.text is not None or (media.data is not None and is_text(media.mime))


def file_name(mime: str | None) -> str:
    """Returns the name of a document that has none, with the extension of its type."""
    if mime is None or mime == "application/pdf":
        return "document.pdf"
    kind = mime.partition(";")[0]
    return f"document{_EXTENSIONS.get(kind) or guess_extension(kind) or '.txt' * is_text(kind)}"


_EXTENSIONS = {"text/plain": ".txt", "text/markdown": ".md", "application/yaml": ".yaml", "application/xml": ".xml"}
"""Extensions of types that the standard library has none or several for."""


def text_of(data: str) -> str | None:
    """Returns the text that base64 data holds; None if it is not UTF-8."""
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        return None


def standard_base64(data: str) -> str:
    """Returns base64 in the alphabet of RFC 4648 section 4, padded and in one line, as most providers require it.

    "Either standard or URL-safe base64 encoding with/without paddings are accepted", by Gemini alone:
    https://protobuf.dev/programming-guides/json/
    """
    if "-" in data or "_" in data:
        data = data.translate(_STANDARD)
    if "\n" in data or "\r" in data or " " in data:
        data = "".join(data.split())
    return data + "=" * (-len(data) % 4) if len(data) % 4 else data


_STANDARD = str.maketrans("-_", "+/")


def _seen(data: str) -> str | None:
    try:
        head = b64decode(data[:_HEAD] + "=" * (-len(data[:_HEAD]) % 4))
    except (NotBase64, ValueError):
        return None
    return next((mime for at, mark, mime in _SIGNATURES if head.startswith(mark, at)), None)
