"""Fetches what a request has by URL for backends that take bytes only, where the config allows that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from mimetypes import guess_type

from msgspec.structs import replace

from ..backends.media_fetch import FetchSettings, NotFetched, checked_url, fetch_media
from ..backends.transport import NameSettings
from ..ir import Audio, Block, Document, Image, Loss, Media, Request, ToolResult, Turn, Video
from ..ir.losses import block_feature
from ..protocols.protocol import UpstreamRequest

log = logging.getLogger("crosswire")

KINDS = frozenset(("image", "document", "audio", "video", "tool_result_media"))
"""The losses of media that a target may take as data."""

# the shortest data of each kind, to find out whether a target would take the bytes
_STANDINS: dict[str, tuple[str, str]] = {
    "image": ("image/png", "iVBORw0KGgo="),
    "document": ("application/pdf", "JVBERi0="),
    "audio": ("audio/wav", "UklGRgAAAABXQVZF"),
    "video": ("video/mp4", "AAAA"),
}


class Unfetched(str):
    """The reason of a candidate that cannot take a request yet: it needs media that were not fetched until now."""

    __slots__ = ()


class UrlMedia:
    """The media that one request has by URL, and what was fetched of them."""

    def __init__(self, settings: FetchSettings, names: NameSettings) -> None:
        self._settings = settings
        self._names = names
        self._found: dict[str, Media | str] = {}
        """By URL, the data, or why there is none."""
        self.wanted: dict[str, None] = {}
        """The URLs that a candidate needs, and that are to be fetched."""

    def encoded(
        self, request: Request, sent: UpstreamRequest, encode: Callable[[Request], UpstreamRequest]
    ) -> UpstreamRequest | str:
        """Returns the request encoded with data in place of URLs that would be lost; or why that is impossible.

        It is `sent` itself where nothing would be won.
        """
        before = _media_losses(sent)
        kinds = {loss.feature for loss in before}
        places = [place for place in _places(request) if _is_lost(place, kinds)] if kinds else []
        if not places:
            return sent
        urls = dict.fromkeys(url for _, url, _ in places)
        probe = encode(_with_data(request, {url: _standin(feature, url) for feature, url, _ in places}))
        if len(_media_losses(probe)) >= len(before):
            return sent
        for feature, url, _ in places:
            if isinstance(found := self._found.get(url) or self._refusal(url, len(urls)), str):
                return f"cannot take the {feature} by its URL, which the proxy did not fetch: {found}"
        missing = [url for url in urls if url not in self._found]
        if missing:
            self.wanted.update(dict.fromkeys(missing))
            return Unfetched("waits for media that are to be fetched")
        return encode(_with_data(request, {url: found for url in urls if isinstance(found := self._found[url], Media)}))

    def _refusal(self, url: str, count: int) -> str | None:
        """Returns why a URL may not be fetched, without asking anybody."""
        if count > self._settings.max_files:
            return f"the request has more than {self._settings.max_files} of them (fetch.max_files)"
        try:
            checked_url(url, self._settings)
        except NotFetched as fault:
            return str(fault)
        return None

    async def fetch(self) -> None:
        """Fetches what is wanted, all at once."""
        urls, self.wanted = list(self.wanted), {}
        for url, found in zip(urls, await asyncio.gather(*map(self._fetch, urls)), strict=True):
            self._found[url] = found

    async def _fetch(self, url: str) -> Media | str:
        try:
            found = await fetch_media(url, self._settings, self._names)
        except NotFetched as fault:
            return str(fault)
        log.info("fetched %s from %s", found.mime, checked_url(url, self._settings).host)
        return found


def has_urls(request: Request) -> bool:
    """Returns whether a request has media by URL."""
    return next(_places(request), None) is not None


def _media_losses(sent: UpstreamRequest) -> list[Loss]:
    return [loss for loss in sent.losses if loss.feature in KINDS]


def _places(request: Request) -> Iterator[tuple[str, str, bool]]:
    """Yields the kind and the URL of each medium that is given by one, and whether it is in a tool's result."""
    for turn in request.turns:
        for block in turn.blocks:
            if isinstance(block, ToolResult):
                yield from ((block_feature(inner), url, True) for inner in block.blocks if (url := _url_of(inner)))
            elif url := _url_of(block):
                yield block_feature(block), url, False


def _url_of(block: Block) -> str | None:
    return block.media.url if isinstance(block, Image | Document | Audio | Video) else None


def _is_lost(place: tuple[str, str, bool], kinds: set[str]) -> bool:
    feature, _, is_in_result = place
    return feature in kinds or (is_in_result and "tool_result_media" in kinds)


def _standin(feature: str, url: str) -> Media:
    mime, data = _STANDINS[feature]
    guessed = guess_type(url.partition("?")[0])[0]
    if feature == "document" and guessed is not None and guessed.startswith("text/"):
        return Media(guessed, "YQ==")
    return Media(mime, data)


def _with_data(request: Request, found: dict[str, Media]) -> Request:
    """Returns the request with these data in place of the URLs."""

    def block_with(block: Block) -> Block:
        if isinstance(block, ToolResult):
            return replace(block, blocks=tuple(map(block_with, block.blocks)))
        if (
            not isinstance(block, Image | Document | Audio | Video)
            or (data := found.get(block.media.url or "")) is None
        ):
            return block
        return replace(block, media=replace(block.media, url=None, data=data.data, mime=data.mime))

    def turn_with(turn: Turn) -> Turn:
        return replace(turn, blocks=tuple(map(block_with, turn.blocks)))

    return replace(request, turns=tuple(map(turn_with, request.turns)))
