"""Passes reads of a stream that hold nothing but plain frames on at once; all others are left to the stream's task."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..ir.stream import Texts
from ..protocols.protocol import StreamDecoder
from ..wire.framing import Framing
from .backend import Sink
from .relayed_stream import RelayedStream

UNSEEN = 4
"""Reads of a relayed stream that are kept, to be decoded if it ends without a known end."""

UNSEEN_BYTES = 16 * 1024
"""Bytes beyond which the last of them is enough."""


class PlainReads:
    """The reads of one stream.

    A relay passes frames on unread that hold neither usage nor the end nor an error; of other streams the frames are
    plain that hold the next piece of the open text, and nothing else.
    """

    def __init__(
        self,
        framing: Framing,
        clean: Callable[[bytes], bytes],
        decoder: StreamDecoder,
        relayed: RelayedStream | None,
        sink: Sink,
    ) -> None:
        self._framing = framing
        self._clean = clean
        self._decoder = decoder
        self._relayed = relayed
        self._sink = sink
        self._left: tuple[bytes, bool, Texts | None] = (b"", False, None)
        self.is_on = False
        """True once the stream has begun, until the answer is complete."""
        self.unseen: deque[bytes] = deque(maxlen=UNSEEN)
        """The last of the reads that were relayed without being decoded."""

    def take(self, chunk: bytes) -> bool:
        """Passes a read on; False where it is left to the task."""
        if not self.is_on:
            return False
        whole = self._framing.cut(chunk)
        if not whole:
            return True
        whole = self._clean(whole)
        texts = None
        if self._relayed is None:
            objects = self._framing.objects(whole)
            is_plain = objects is not None and (texts := self._decoder.feed_texts(*objects)) is not None
        else:
            is_plain = self._decoder.fast_forward and self._relayed.is_unread(self._framing, whole)
            if is_plain:
                self._note_unseen(whole)
        if is_plain and self._sink(whole, texts):
            return True
        self._left = whole, is_plain, texts
        return False

    def left(self) -> tuple[bytes, bool, Texts | None]:
        """The frames that were left, whether they are plain, and the texts in them."""
        left, self._left = self._left, (b"", False, None)
        return left

    def _note_unseen(self, whole: bytes) -> None:
        """Keeps the frames of a relayed read, which nobody decoded."""
        if len(whole) > UNSEEN_BYTES:
            self.unseen.clear()
        self.unseen.append(whole)
