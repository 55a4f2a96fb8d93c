"""The thread that a local model lives on: jobs in, what it says out, one step of the whole batch after the other.

It knows no event loop but the way back to the one that asked, and nothing of MLX but the runtime that it is given.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import Struct

from ...errors import failure, upstream_failure
from ...ir import Failure, StopReason, Usage
from .folder import Model
from .job import Job
from .markup import Part, Piece, Splitter

log = logging.getLogger("crosswire")

GATHER_S = 0.005
"""How often at most a loop is woken for more words of answers that began; only a very small model is faster."""

FULL_RETRY_S = 1.0
"""After how long a client that found the queue full may ask again."""


class Prompt(Struct, frozen=True):
    """What the model was given, rendered: the first thing that is said of every job; and its tokens, new and known."""

    text: str
    new: int
    known: int


class Done(Struct, frozen=True):
    """The answer is whole."""

    stop: StopReason
    matched: str | None
    usage: Usage


Said: TypeAlias = Prompt | list[Piece] | Done | Failure


class Bounds(Struct, frozen=True):
    """How many jobs decode at once and how many may wait; tokens of one step of a prompt; bytes of kept prompts."""

    batch: int = 16
    queue: int = 64
    prefill: int = 32
    cache_bytes: int = 512 * 1024 * 1024
    context: int | None = None


Load: TypeAlias = Callable[[Model, Bounds], Any]
"""Makes the runtime; called on the engine's thread, as everything of it is."""


class Ticket:
    """One job under way: where it is heard, and its state on the engine's thread."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.heard: asyncio.Queue[Said] = asyncio.Queue()
        self.cancelled = False
        self.uid = -1
        self.read = self.known = self.said = self.thought = 0
        self.splitter: Splitter
        self.steering: Any = None
        self.words: Any = None
        self.called = self.spoke = False


class Engine:
    """A model and its thread, which starts with the first job; after a failed load the next job tries again."""

    def __init__(self, model: Model, bounds: Bounds, load: Load) -> None:
        self._model = model
        self._bounds = bounds
        self._load = load
        self._inbox: deque[Ticket] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._active: dict[int, Ticket] = {}
        self._out: dict[asyncio.AbstractEventLoop, dict[Ticket, list[Said]]] = {}
        self._urgent = False
        self._posted = 0.0

    # ---- on the loop -------------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> Ticket | Failure:
        """Take a job in, or say why not."""
        ticket = Ticket(job, asyncio.get_running_loop())
        with self._wake:
            if self._closing:
                return failure("draining", "The local model is shutting down; try again elsewhere.")
            self._inbox = deque(waiting for waiting in self._inbox if not waiting.cancelled)
            if len(self._inbox) >= self._bounds.queue:
                return upstream_failure(503, kind="overloaded", retry_after=FULL_RETRY_S)
            self._inbox.append(ticket)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=f"mlx {self._model.folder.name}", daemon=True)
                self._thread.start()
            self._wake.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Nobody listens any more; its place in the batch is free after the step under way."""
        ticket.cancelled = True

    async def close(self) -> None:
        """End the thread and wait for it; what is under way fails. Twice is harmless."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    # ---- on the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        runtime = None
        try:
            runtime = self._load(self._model, self._bounds)
        except Exception as fault:
            log.warning("the local model %s cannot be loaded: %s", self._model.folder, fault)
            self._fail_all(_unloaded())
            return
        try:
            while self._serve(runtime):
                pass
        finally:
            self._fail_all(failure("draining", "The local model is shutting down; try again elsewhere."))
            runtime.end()

    def _serve(self, runtime: Any) -> bool:
        """Steps until the end, or until one failed; then those in flight fail, and the next batch begins anew."""
        generator = runtime.generator()
        try:
            while True:
                if not self._admit(runtime, generator):
                    return False
                self._step(runtime, generator)
                self._post()
        except Exception:
            log.exception("a step of the local model failed")
            broken = upstream_failure(500)
            for ticket in self._active.values():
                self._say(ticket, broken)
            self._active.clear()
            self._post()
            return True
        finally:
            generator.close()

    def _admit(self, runtime: Any, generator: Any) -> bool:
        """Drop who left, take in who waits; False at the end. Sleeps while there is nothing to do."""
        gone = [uid for uid, ticket in self._active.items() if ticket.cancelled]
        for uid in gone:
            del self._active[uid]
        if gone:
            generator.remove(gone)
        while True:
            with self._wake:
                while not (self._inbox or self._active or self._closing):
                    self._wake.wait()
                if self._closing:
                    return False
                if not self._inbox or len(self._active) >= self._bounds.batch:
                    return True
                ticket = self._inbox.popleft()
            if not ticket.cancelled:
                self._begin(runtime, generator, ticket)
                self._post()

    def _begin(self, runtime: Any, generator: Any, ticket: Ticket) -> None:
        """Let one job into the batch; what is wrong with it is its own failure."""
        try:
            job = ticket.job
            prompt = runtime.prompt(job)
            tokens = runtime.tokens(prompt)
            context = self._bounds.context or runtime.info.context
            if len(tokens) >= context:
                text = f"The prompt has {len(tokens)} tokens; this model's context has {context}. Send less."
                self._say(ticket, failure("context_length", text, param="messages"))
                return
            ticket.steering = runtime.steering(job, prompt)
            ticket.words = runtime.detokenizer()
            part: Part = "thinking" if runtime.thinks(prompt) else "text"
            ticket.splitter = Splitter(runtime.marks, job.stop, part=part)
            room = context - len(tokens)
            most = room if job.max_tokens is None else min(job.max_tokens, room)
            ticket.read = len(tokens)
            ticket.uid, ticket.known = runtime.insert(generator, tokens, most, job, ticket.steering)
            self._active[ticket.uid] = ticket
            self._say(ticket, Prompt(prompt, ticket.read - ticket.known, ticket.known))
        except Exception as fault:
            param = getattr(fault, "param", None)
            kind = getattr(fault, "kind", None)
            if kind is not None:
                self._say(ticket, failure(kind, f"Invalid request: {fault}.", param=param))
            else:
                log.exception("a job of the local model failed before its first token")
                self._say(ticket, upstream_failure(500))

    def _step(self, runtime: Any, generator: Any) -> None:
        _, responses = generator.next()
        stopped = []
        for response in responses:
            ticket = self._active.get(response.uid)
            if ticket is None:
                continue
            why = response.finish_reason
            ticket.said += 1
            ticket.thought += ticket.splitter.part == "thinking"
            if ticket.steering is not None and ticket.steering.fault:
                log.warning("the grammar of a local answer broke: %s", ticket.steering.fault)
                self._say(ticket, upstream_failure(500))
                stopped.append(ticket)
                continue
            if why != "stop":
                ticket.words.add_token(response.token)
            if why is not None:
                ticket.words.finalize()
                runtime.keep(response.all_tokens, response.prompt_cache)
            self._hear(ticket, ticket.splitter.feed(ticket.words.last_segment))
            if ticket.splitter.matched is not None:
                self._finish(ticket, "stop_sequence")
                stopped.append(ticket)
            elif why is not None:
                self._hear(ticket, ticket.splitter.end())
                self._finish(ticket, "length" if why == "length" else "tool" if ticket.called else "end")
                del self._active[ticket.uid]
        for ticket in stopped:
            del self._active[ticket.uid]
        generator.remove([ticket.uid for ticket in stopped])

    def _hear(self, ticket: Ticket, pieces: list[Piece]) -> None:
        if pieces:
            ticket.called = ticket.called or any(piece.part == "call" and piece.closes for piece in pieces)
            self._say(ticket, pieces)

    def _finish(self, ticket: Ticket, stop: StopReason) -> None:
        usage = Usage(ticket.read - ticket.known, ticket.said, ticket.known, None, ticket.thought or None)
        self._say(ticket, Done(stop, ticket.splitter.matched, usage))

    def _say(self, ticket: Ticket, said: Said) -> None:
        due = self._out.setdefault(ticket.loop, {}).setdefault(ticket, [])
        if isinstance(said, list) and due and isinstance(due[-1], list):
            due[-1] += said
        else:
            due.append(said)
        self._urgent |= not isinstance(said, list) or not ticket.spoke
        ticket.spoke |= isinstance(said, list)

    def _post(self) -> None:
        """Everything that was said since the last time, in one call for each loop; first and last words at once."""
        now = time.monotonic()
        if not self._urgent and now - self._posted < GATHER_S:
            return
        self._urgent, self._posted = False, now
        out, self._out = self._out, {}
        for loop, said in out.items():
            try:
                loop.call_soon_threadsafe(_deliver, said)
            except RuntimeError:  # a loop that is closed hears nothing, and nobody on it listens
                for ticket in said:
                    ticket.cancelled = True

    def _fail_all(self, broken: Failure) -> None:
        with self._wake:
            tickets = [*self._active.values(), *self._inbox]
            self._inbox.clear()
            if not self._closing:
                self._thread = None
        self._active.clear()
        for ticket in tickets:
            self._say(ticket, broken)
        self._post()


def _deliver(said: dict[Ticket, list[Said]]) -> None:
    for ticket, due in said.items():
        for what in due:
            ticket.heard.put_nowait(what)


def _unloaded() -> Failure:
    what = "The local model cannot be loaded; the proxy's log says why."
    return upstream_failure(502, kind="upstream_unreachable", message=what)
