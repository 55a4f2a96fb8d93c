"""Passes reads of a stream that hold nothing but plain frames on at once; all others are left to the stream's task."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ..ir.repairs import Repairs
from ..ir.stream import Texts
from ..protocols.protocol import StreamDecoder
from ..wire.framing import Framing
from .answer_body import Clean
from .backend import Sink
from .relayed_stream import RelayedStream, first_of

UNSEEN = 4
"""Reads of a relayed stream that are kept, to be decoded if it ends without a known end."""

FIRST = 4
"""Frames at the beginning of a read that are looked at one by one."""

UNSEEN_BYTES = 16 * 1024
"""Bytes beyond which the last of them is enough."""


class PlainReads:
    """The reads of one stream.

    A relay passes frames on unread that hold neither usage nor the end nor an error; of other streams the frames are
    plain that hold the next piece of the open text, and nothing else.
    """

    def __init__(
        self,
        marks: tuple[bytes, ...],
        framing: Framing,
        clean: Clean,
        repairs: Repairs,
        decoder: StreamDecoder,
        relayed: RelayedStream | None,
        sink: Sink,
    ) -> None:
        self._marks = marks
        self._framing = framing
        self._clean = clean
        self._repairs = repairs
        self._decoder = decoder
        self._relayed = relayed
        self.passes = sink
        """Passes plain frames on at once; False where that is left to the task."""
        self._left: tuple[bytes, bool, Texts | None] = (b"", False, None)
        self.has_begun = False
        """True once content was passed on, before which nothing was sent to the client."""
        self.may_be_plain = False
        """True if the last frame that was decoded told of a block, so that plain ones may follow."""
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
        whole = self._clean(whole, self._repairs)
        texts = None
        if self._relayed is None:
            objects = self._framing.objects(whole) if self.may_be_plain else None
            is_plain = objects is not None and (texts := self._decoder.feed_texts(*objects)) is not None
        else:
            is_plain = self._decoder.fast_forward and self._relayed.is_unread(self._framing, whole)
            if is_plain:
                if len(whole) > UNSEEN_BYTES:
                    self.unseen.clear()
                self.unseen.append(whole)
        if is_plain and self.passes(whole, texts):
            return True
        self._left = whole, is_plain, texts
        return False

    def pieces(self, whole: bytes) -> Iterator[tuple[bytes, bool, Texts | None]]:
        """Splits frames that were left and are not all plain; with each piece comes whether it is, and its texts.

        Pieces are the first frames one by one, until plain ones may follow; those; and the last frames, which end the
        answer. The decoder has to be fed with each piece that is not plain before the next one is asked for.
        """
        for _ in range(FIRST):
            end, texts = self._plain_part(whole)
            if end:
                yield whole[:end], True, texts
                whole = whole[end:]
                break
            if self._relayed is not None and self._decoder.fast_forward:
                break
            end = self._framing.end_of_first(whole)
            yield whole[:end], False, None
            whole = whole[end:]
            if not whole or self._decoder.done:
                break
        if whole:
            yield whole, False, None

    def _plain_part(self, whole: bytes) -> tuple[int, Texts | None]:
        """Returns the end of the plain frames at the beginning of these, and their texts; 0 where none is plain."""
        framing, relayed = self._framing, self._relayed
        if not (self.may_be_plain if relayed is None else self._decoder.fast_forward):
            return 0, None
        end = len(whole)
        while end and first_of(self._marks, whole[(last := framing.start_of_last(whole, end)) : end]) >= 0:
            end = last
        for _ in range(2):  # the frame before the marked ones may end a block
            if not end:
                break
            objects = framing.objects(whole[:end])
            if relayed is None:
                if objects is not None and (texts := self._decoder.feed_texts(*objects)) is not None:
                    return end, texts
            elif relayed.is_quiet(objects):
                return end, None
            end = framing.start_of_last(whole, end)
        return (0 if relayed is None else relayed.unread_end(framing, whole)), None

    def left(self) -> tuple[bytes, bool, Texts | None]:
        """The frames that were left, whether they are plain, and the texts in them."""
        left, self._left = self._left, (b"", False, None)
        return left
