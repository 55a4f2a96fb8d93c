"""Data URLs (RFC 2397), in base64 or percent-encoded, as the media that they hold."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote_to_bytes

from .media_type import is_text, media_type, standard_base64
from .model import Media


def media_of(url: str) -> Media:
    """Returns the media of a data URL; any other URL stays as it is.

    "If <mediatype> is omitted, it defaults to text/plain;charset=US-ASCII." https://www.rfc-editor.org/rfc/rfc2397
    """
    if url[:5].lower() != "data:":
        return Media(url=url)
    comma = url.find(",")
    if comma < 0:
        return Media(url=url)
    label, *flags = url[5:comma].split(";")
    data = url[comma + 1 :]  # the only copy of what may be megabytes
    if any(flag.strip().lower() == "base64" for flag in flags):
        if "%" in data:
            data = unquote_to_bytes(data).decode("ascii", "replace")
        data = standard_base64(data)
        return Media(media_type(label, data), data)
    raw = unquote_to_bytes(data)
    mime = media_type(label) or "text/plain"
    if is_text(mime):
        try:
            return Media(mime, text=raw.decode())
        except UnicodeDecodeError:
            pass
    return Media(mime, b64encode(raw).decode())
