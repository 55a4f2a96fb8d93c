"""Runs a local model on its thread: takes requests, decodes them in one batch, delivers their output.

Output goes to the event loop that submitted the request. MLX is used through the runtime only.
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
from .memory import memory_complaint
from .model_folder import ModelInfo
from .output_parser import Fragment, OutputParser, Part
from .request import MlxRequest

log = logging.getLogger("crosswire")

DELIVERY_INTERVAL_S = 0.005
"""Minimum seconds between two deliveries to an event loop; only a very small model decodes faster."""

FULL_RETRY_S = 1.0
"""Seconds after which a client may retry if the queue is full."""


class Prompt(Struct, frozen=True):
    """The rendered prompt and its token counts: the first output of every request."""

    text: str
    new_tokens: int
    cached_tokens: int


class Done(Struct, frozen=True):
    """The last output of a request that succeeded."""

    stop: StopReason
    matched: str | None
    usage: Usage


EngineOutput: TypeAlias = Prompt | list[Fragment] | Done | Failure
"""Output of the engine for one request; Done or Failure is the last."""


class EngineLimits(Struct, frozen=True):
    """Limits of the engine.

    `batch` requests are decoded at once, `queue` may wait; `prefill` tokens of a prompt are processed in one step;
    `cache_bytes` bounds the prompt cache; `context` is in tokens, None for that of the model. A model whose weights
    have more than `memory_bytes` is not loaded; after `unload_s` without a request it is unloaded.
    """

    batch: int = 16
    queue: int = 64
    prefill: int = 32
    cache_bytes: int = 512 * 1024 * 1024
    context: int | None = None
    memory_bytes: int | None = None
    unload_s: float | None = None


LoadRuntime: TypeAlias = Callable[[ModelInfo, EngineLimits], Any]
"""Creates the runtime; called on the engine's thread, like all of the runtime's methods."""


class Generation:
    """One request in the engine: the queue of its outputs, and its state on the engine's thread."""

    def __init__(self, request: MlxRequest, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self.loop = loop
        self.outputs: asyncio.Queue[EngineOutput] = asyncio.Queue()
        self.cancelled = False
        self.uid = -1
        self.prompt_tokens = self.cached_tokens = self.output_tokens = self.thinking_tokens = 0
        self.parser: OutputParser
        self.logits_processor: Any = None
        self.detokenizer: Any = None
        self.has_calls = self.has_output = False


class Engine:
    """A model and its thread, which starts with the first request, or before it with `start`.

    After a failed load, and after an idle model was unloaded, the next request starts a new thread.
    """

    def __init__(self, model: ModelInfo, limits: EngineLimits, load: LoadRuntime) -> None:
        self._model = model
        self._limits = limits
        self._load = load
        self._inbox: deque[Generation] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended: threading.Thread | None = None
        """The thread before, which may still be giving its memory back."""
        self.state = "not loaded"
        """Says for the operator whether the model is loaded; a failed load has its reason."""
        self._closing = False
        self._active: dict[int, Generation] = {}
        self._outbox: dict[asyncio.AbstractEventLoop, dict[Generation, list[EngineOutput]]] = {}
        self._urgent = False
        self._last_delivery = 0.0

    # ---- on the loop -------------------------------------------------------------------------------------------------

    def submit(self, request: MlxRequest) -> Generation | Failure:
        """Queues a request; returns a Failure if the queue is full or the engine is closing."""
        generation = Generation(request, asyncio.get_running_loop())
        with self._wake:
            if self._closing:
                return failure("draining", "The local model is shutting down; try again elsewhere.")
            self._inbox = deque(waiting for waiting in self._inbox if not waiting.cancelled)
            if len(self._inbox) >= self._limits.queue:
                return upstream_failure(503, kind="overloaded", retry_after=FULL_RETRY_S)
            self._inbox.append(generation)
            self._ensure_thread()
            self._wake.notify()
        return generation

    def start(self) -> None:
        """Begins to load the model, unless it is loaded or loading."""
        with self._wake:
            if not self._closing:
                self._ensure_thread()

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            name = f"mlx {self._model.folder.name}"
            self.state = "loading"
            self._thread = threading.Thread(target=self._run, args=(self._ended,), name=name, daemon=True)
            self._thread.start()

    def cancel(self, generation: Generation) -> None:
        """Drops a request, which frees its place in the batch after the current step."""
        generation.cancelled = True

    async def close(self) -> None:
        """Ends the thread and waits for it; pending requests fail. Calling it twice is harmless."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        for thread in (self._thread, self._ended):
            if thread is not None:
                await asyncio.to_thread(thread.join)

    # ---- on the thread -----------------------------------------------------------------------------------------------

    def _run(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()  # two models at once may not fit into the memory
        try:
            if (complaint := memory_complaint(self._model.nbytes, self._limits.memory_bytes)) is not None:
                raise MemoryError(complaint)
            runtime = self._load(self._model, self._limits)
        except Exception as fault:
            log.warning("the local model %s cannot be loaded: %s", self._model.folder, fault)
            self.state = f"cannot be loaded: {fault}"
            self._fail_all(_load_failure())
            return
        self.state = "loaded"
        try:
            while self._serve(runtime):
                pass
        finally:
            if self._thread is threading.current_thread():  # and the model was not unloaded for want of requests
                self.state = "not loaded"
                self._fail_all(failure("draining", "The local model is shutting down; try again elsewhere."))
            runtime.shut_down()

    def _serve(self, runtime: Any) -> bool:
        """Decodes until the engine closes or the model is unloaded, and returns False then.

        If a step fails, all requests of the batch fail, and True asks for a new batch.
        """
        generator = runtime.generator()
        try:
            while True:
                if not self._admit(runtime, generator):
                    return False
                self._step(runtime, generator)
                self._deliver_outbox()
        except Exception:
            log.exception("a step of the local model failed")
            step_failure = upstream_failure(500)
            for generation in self._active.values():
                self._emit(generation, step_failure)
            self._active.clear()
            self._deliver_outbox()
            return True
        finally:
            generator.close()

    def _admit(self, runtime: Any, generator: Any) -> bool:
        """Drops cancelled requests and starts waiting ones; sleeps while there are none.

        Returns False at the end, and after so long a sleep that the model is unloaded.
        """
        cancelled = [uid for uid, generation in self._active.items() if generation.cancelled]
        for uid in cancelled:
            del self._active[uid]
        if cancelled:
            generator.remove(cancelled)
        while True:
            with self._wake:
                while not (self._inbox or self._active or self._closing):
                    notified = self._wake.wait(self._limits.unload_s)
                    if not (notified or self._inbox or self._closing):
                        log.info("the local model %s is unloaded", self._model.folder)
                        self.state, self._ended, self._thread = "not loaded", self._thread, None
                        return False
                if self._closing:
                    return False
                if not self._inbox or len(self._active) >= self._limits.batch:
                    return True
                generation = self._inbox.popleft()
            if not generation.cancelled:
                self._start_generation(runtime, generator, generation)
                self._deliver_outbox()

    def _start_generation(self, runtime: Any, generator: Any, generation: Generation) -> None:
        """Adds one request to the batch; an error fails this request only."""
        try:
            request = generation.request
            prompt = runtime.prompt(request)
            tokens = runtime.tokens(prompt)
            context = self._limits.context or runtime.info.context
            if len(tokens) >= context:
                text = f"The prompt has {len(tokens)} tokens; this model's context has {context}. Send less."
                self._emit(generation, failure("context_length", text, param="messages"))
                return
            logits_processor = generation.logits_processor = runtime.logits_processor(request, prompt)
            generation.detokenizer = runtime.detokenizer()
            part: Part = "thinking" if runtime.is_thinking(prompt) else "text"
            generation.parser = OutputParser(runtime.delimiters, request.stop, part=part)
            available = context - len(tokens)
            max_tokens = available if request.max_tokens is None else min(request.max_tokens, available)
            generation.prompt_tokens = len(tokens)
            uid, generation.cached_tokens = runtime.insert(generator, tokens, max_tokens, request, logits_processor)
            generation.uid = uid
            self._active[uid] = generation
            new_tokens = len(tokens) - generation.cached_tokens
            self._emit(generation, Prompt(prompt, new_tokens, generation.cached_tokens))
        except Exception as fault:
            param = getattr(fault, "param", None)
            kind = getattr(fault, "kind", None)
            if kind is not None:
                self._emit(generation, failure(kind, f"Invalid request: {fault}.", param=param))
            else:
                log.exception("a request to the local model failed before its first token")
                self._emit(generation, upstream_failure(500))

    def _step(self, runtime: Any, generator: Any) -> None:
        """Decodes one token of every request in the batch."""
        _, responses = generator.next()
        stopped = []
        for response in responses:
            generation = self._active.get(response.uid)
            if generation is None:
                continue
            finish_reason = response.finish_reason
            generation.output_tokens += 1
            generation.thinking_tokens += generation.parser.part == "thinking"
            if generation.logits_processor is not None and generation.logits_processor.fault:
                log.warning("the grammar of a local answer broke: %s", generation.logits_processor.fault)
                self._emit(generation, upstream_failure(500))
                stopped.append(generation)
                continue
            text = generation.detokenizer.add(response.token) if finish_reason != "stop" else ""
            if finish_reason is not None:
                text += generation.detokenizer.end()
                runtime.cache_prompt(response.all_tokens, response.prompt_cache)
            self._emit_fragments(generation, generation.parser.feed(text))
            if generation.parser.matched is not None:
                self._finish_generation(generation, "stop_sequence")
                stopped.append(generation)
            elif finish_reason is not None:
                self._emit_fragments(generation, generation.parser.end())
                ended: StopReason = "tool" if generation.has_calls else "end"
                self._finish_generation(generation, "length" if finish_reason == "length" else ended)
                del self._active[generation.uid]
        if stopped:
            for generation in stopped:
                del self._active[generation.uid]
            generator.remove([generation.uid for generation in stopped])

    def _emit_fragments(self, generation: Generation, fragments: list[Fragment]) -> None:
        if not fragments:
            return
        for fragment in fragments:
            if fragment.closes and fragment.part == "call":
                generation.has_calls = True
        self._emit(generation, fragments)

    def _finish_generation(self, generation: Generation, stop: StopReason) -> None:
        usage = Usage(
            generation.prompt_tokens - generation.cached_tokens,
            generation.output_tokens,
            generation.cached_tokens,
            None,
            generation.thinking_tokens or None,
        )
        self._emit(generation, Done(stop, generation.parser.matched, usage))

    def _emit(self, generation: Generation, output: EngineOutput) -> None:
        """Puts output into the outbox; consecutive fragments are joined."""
        outputs = self._outbox.get(generation.loop)
        if outputs is None:
            outputs = self._outbox[generation.loop] = {}
        pending = outputs.get(generation)
        if pending is None:
            pending = outputs[generation] = []
        if not isinstance(output, list):
            self._urgent = True
            pending.append(output)
            return
        if not generation.has_output:
            self._urgent = generation.has_output = True
        if pending and isinstance(pending[-1], list):
            pending[-1] += output
        else:
            pending.append(output)

    def _deliver_outbox(self) -> None:
        """Sends the outbox with one call for each loop; the first and the last output of a request are not delayed."""
        now = time.monotonic()
        if not self._urgent and now - self._last_delivery < DELIVERY_INTERVAL_S:
            return
        self._urgent, self._last_delivery = False, now
        outbox, self._outbox = self._outbox, {}
        for loop, outputs in outbox.items():
            try:
                loop.call_soon_threadsafe(_deliver, outputs)
            except RuntimeError:  # the loop is closed
                for generation in outputs:
                    generation.cancelled = True

    def _fail_all(self, reason: Failure) -> None:
        with self._wake:
            generations = [*self._active.values(), *self._inbox]
            self._inbox.clear()
            if not self._closing:
                self._thread = None
        self._active.clear()
        for generation in generations:
            self._emit(generation, reason)
        self._deliver_outbox()


def _deliver(outputs: dict[Generation, list[EngineOutput]]) -> None:
    for generation, pending in outputs.items():
        for output in pending:
            generation.outputs.put_nowait(output)


def _load_failure() -> Failure:
    message = "The local model cannot be loaded; the proxy's log says why."
    return upstream_failure(502, kind="upstream_unreachable", message=message)
