"""Cuts an answer at stop sequences that its provider could not be told: it takes fewer of them, or none at all."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from .model import Failure, Loss, Reply, Text, TokenLogprob
from .stream import (
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Event,
    ReplyEnd,
    fold,
    unfold,
)


def said_stops(sequences: Iterable[str], losses: list[Loss]) -> tuple[str, ...]:
    """Returns the sequences without empty ones, which Ollama would find in every text and the others refuse.

    "Invalid 'stop[0]': empty string." is the answer of OpenAI's API.
    """
    found = tuple(sequences)
    losses += [Loss(f"stop[{at}]", "stop", "dropped") for at, sequence in enumerate(found) if not sequence]
    return tuple(sequence for sequence in found if sequence)


class StopCutter:
    """Cuts the events of one answer at the first of these sequences in a text.

    The end of a text that may be the beginning of a sequence is held back. What follows a sequence is left out, but
    read to its end, because only there the provider says how many tokens there were.
    """

    def __init__(self, sequences: Iterable[str]) -> None:
        self._sequences = tuple(sequence for sequence in sequences if sequence)
        self._texts: dict[int, str] = {}  # the open text blocks, and what is held back of each
        self._tokens: dict[int, list[TokenLogprob]] = {}  # those of each open text that were not sent yet
        self._ahead: dict[int, int] = {}  # characters of the tokens that were sent, beyond the text that was
        self._started = 0  # blocks that began before the cut
        self._matched: str | None = None
        self._cut: int | None = None  # the block in which the sequence was

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Returns the events that may be sent now."""
        out: list[Event] = []
        for event in events:
            self._event(event, out)
        return out

    def _event(self, event: Event, out: list[Event]) -> None:
        match event:
            case BlockStart(index, block) if self._matched is None:
                self._started = index + 1
                if isinstance(block, Text):
                    self._texts[index], self._tokens[index], self._ahead[index] = "", list(block.logprobs), 0
                    out.append(replace(event, block=replace(block, text="", logprobs=())))
                    self._text(index, block.text, out)
                else:
                    out.append(event)
            case BlockDelta(index, text, logprobs) if index in self._texts and self._matched is None:
                self._tokens[index] += logprobs
                self._text(index, text, out)
            case BlockEnd(index) if index < self._started:
                held, rest = self._texts.pop(index, ""), self._tokens.pop(index, ())
                if (held or rest) and self._matched is None:
                    out.append(BlockDelta(index, held, tuple(rest)))
                out.append(event)
            case BlockStart() | BlockEnd():
                pass  # it came after the sequence
            case BlockDelta(index) | BlockCitation(index) | BlockSignature(index):
                if index < self._started and index != self._cut:
                    out.append(event)
            case ReplyEnd() if self._matched is not None:
                out.append(replace(event, stop="stop_sequence", matched=self._matched, native=None))
            case _:
                out.append(event)

    def _text(self, index: int, text: str, out: list[Event]) -> None:
        waiting = self._texts[index] + text
        found = [(at, sequence) for sequence in self._sequences if (at := waiting.find(sequence)) >= 0]
        if found:
            at, self._matched = min(found)
            self._cut = index
            waiting, self._texts[index] = waiting[:at], ""
        else:
            held = self._held(waiting)
            waiting, self._texts[index] = waiting[: len(waiting) - held], waiting[len(waiting) - held :]
        if waiting:
            out.append(BlockDelta(index, waiting, self._tokens_of(index, len(waiting))))

    def _tokens_of(self, index: int, length: int) -> tuple[TokenLogprob, ...]:
        """Takes the tokens that begin within the next `length` characters of a text."""
        tokens, ahead, count = self._tokens[index], self._ahead[index] - length, 0
        while ahead < 0 and count < len(tokens):
            ahead += len(tokens[count].token)
            count += 1
        self._ahead[index] = max(ahead, 0)
        self._tokens[index] = tokens[count:]
        return tuple(tokens[:count])

    def _held(self, text: str) -> int:
        """Returns how many characters at the end of the text may be the beginning of a sequence."""
        most = max((len(sequence) for sequence in self._sequences), default=1) - 1
        for length in range(min(most, len(text)), 0, -1):
            end = text[-length:]
            if any(sequence.startswith(end) for sequence in self._sequences):
                return length
        return 0


def cut_at_stops(reply: Reply, sequences: Iterable[str]) -> Reply:
    """Returns the answer up to the first of these sequences; the answer itself where it has none."""
    found = tuple(sequences)
    if not any(sequence in block.text for block in reply.blocks if isinstance(block, Text) for sequence in found):
        return reply
    made = fold(StopCutter(found).feed(unfold(reply)))
    return reply if isinstance(made, Failure) else made
