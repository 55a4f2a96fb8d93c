"""Converts media to and from the URLs in which both protocols carry images and files."""

from __future__ import annotations

from typing import Any

from ...ir import Media
from ...wire.json_fields import need


def media_in(url: str) -> Media:
    """Splits a base64 data URL into type and data; any other URL stays as it is."""
    if url.startswith("data:"):
        head, comma, data = url[5:].partition(",")
        mime, *flags = head.split(";")
        if comma and "base64" in flags:
            return Media(mime or None, data)
    return Media(url=url)


def url_out(media: Media) -> str:
    """Returns the media's URL, or its data as a data URL."""
    if media.url:
        return media.url
    return f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"


def audio_in(fields: dict[str, Any]) -> Media:
    """Decodes the object of an `input_audio` part: base64 `data`, and `format` such as wav or mp3."""
    return Media(f"audio/{need(fields, 'format', str)}", need(fields, "data", str))
