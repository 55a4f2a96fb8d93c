"""Converts media to and from the URLs in which both protocols carry images and files."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from ...ir import Extra, Media
from ...ir.media_type import media_type, standard_base64
from ...wire.json_fields import need


def url_out(media: Media) -> str:
    """Returns the media's URL, or its data as a data URL."""
    if media.url:
        return media.url
    if media.data is None and media.text is not None:
        data = b64encode(media.text.encode()).decode()
        return f"data:{media.mime or 'text/plain'};base64,{data}"
    return f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"


def audio_in(fields: dict[str, Any]) -> Media:
    """Decodes the object of an `input_audio` part: base64 `data`, and `format` such as wav or mp3."""
    return Media(media_type(f"audio/{need(fields, 'format', str)}"), standard_base64(need(fields, "data", str)))


GLOBAL_DETAIL = "generationConfig.mediaResolution"
"""Extra field of a Gemini client's request that says the same for all its images."""


def detail_of(extra: Extra, request: Extra) -> str | None:
    """Returns the detail in which an image is to be seen, as this or another protocol says it.

    "MEDIA_RESOLUTION_LOW, MEDIUM, HIGH" of Gemini: https://ai.google.dev/gemini-api/docs/media-resolution
    """
    if extra and type(detail := extra.get("detail")) is str:
        return detail
    level = extra.get("mediaResolution") if extra else None
    level = level.get("level") if type(level) is dict else level or (request or {}).get(GLOBAL_DETAIL)
    return DETAILS.get(level) if type(level) is str else None


DETAILS: dict[Any, str] = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_MEDIUM": "auto",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "high",
}
