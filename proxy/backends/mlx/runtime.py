"""mlx-lm and llguidance behind one door: load a folder, render, tokenise, batch, keep prompts, check schemas.

Only mlx-lm's `load` is a public function; what else of it is used stands here, and a test checks its signatures.
Everything here runs on the engine's one thread, because MLX's streams belong to the thread that made them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

if sys.platform.startswith("linux"):
    # else MLX runs g++ at run time and loads what it made from the temporary folder
    os.environ.setdefault("MLX_DISABLE_COMPILE", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import llguidance.hf
import mlx.core as mx
import mlx_lm
from jinja2 import TemplateError
from llguidance import LLMatcher
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import LRUPromptCache, trim_prompt_cache

from . import grammar
from .folder import Model
from .job import Job
from .markup import Marks
from .sampling import greedy, sampler
from .steering import Rule, Steering

TOOL_FORMAT = "json_tools"
"""The one format of calls that a grammar is written for: `<tool_call>{"name": …, "arguments": …}</tool_call>`."""

PROBE = [{"role": "user", "content": "Hello!"}]


class Unfit(Exception):
    """The job cannot be done by this model, whoever asked is to be told why; `param` is the neutral path, if any."""

    def __init__(self, message: str, param: str | None = None, kind: str = "bad_request") -> None:
        super().__init__(message)
        self.param = param
        self.kind = kind


class Unloadable(Exception):
    """The folder's model cannot be used; the message says why."""


class Runtime:
    """A loaded model. `cache_bytes` bounds what is kept of earlier prompts, `prefill` the tokens of one step of one."""

    def __init__(self, model: Model, *, batch: int, prefill: int, cache_bytes: int) -> None:
        self.info = model
        loaded = mlx_lm.load(str(model.folder), tokenizer_config={"trust_remote_code": False})
        self._model, self._tokenizer = loaded[0], loaded[1]
        self._kept = LRUPromptCache(max_size=256, max_bytes=cache_bytes)
        self._batch, self._prefill = batch, prefill
        self._schemas: dict[str, str] = {}
        tokenizer = self._tokenizer
        self.ends = frozenset(tokenizer.eos_token_ids)
        if not tokenizer.has_chat_template:
            raise Unloadable("it has no chat template; use the folder of a chat model")
        try:
            probe = self.tokens(self._rendered(PROBE, {}))
        except Exception as fault:  # a template is a program: whatever it raises, this model cannot chat
            raise Unloadable(f"its chat template fails: {fault}") from fault
        self._vocabulary = int(self._model(mx.array([probe])).shape[-1])
        self._grammars = llguidance.hf.from_tokenizer(
            tokenizer._tokenizer, n_vocab=max(self._vocabulary, len(tokenizer)), eos_token=sorted(self.ends)
        )
        around = (tokenizer.think_start_tokens, tokenizer.think_end_tokens)
        self._think = tuple(ids[0] if ids and len(ids) == 1 else None for ids in around)
        self._call = self._call_token()
        self._greedy: dict[tuple[int, ...], Any] = {}
        thinks, answers = (self._rendered(PROBE, {"enable_thinking": on}) for on in (True, False))
        self._asks_to_think = thinks != answers
        self.marks = Marks(
            tokenizer.think_start or "",
            tokenizer.think_end or "",
            tokenizer.tool_call_start or "" if self._call is not None else "",
            tokenizer.tool_call_end or "" if self._call is not None else "",
        )

    def _call_token(self) -> int | None:
        """The token that opens a call, None where this model's calls have another form than the grammar's."""
        tokenizer = self._tokenizer
        opens, closes = tokenizer.tool_call_start_tokens, tokenizer.tool_call_end_tokens
        ours = tokenizer.init_kwargs.get("tool_parser_type") == TOOL_FORMAT
        return int(opens[0]) if ours and opens and closes and len(opens) == len(closes) == 1 else None

    # ---- prompts -----------------------------------------------------------------------------------------------------

    def prompt(self, job: Job) -> str:
        """The rendered prompt; raises Unfit where the template refuses the messages."""
        if job.calls != "none" and self._call is None:
            raise Unfit("this model's calls have a form that no grammar here guarantees; ask without tools", "tools")
        try:
            more: dict[str, Any] = {"enable_thinking": bool(job.thinking)}
            if job.tools:
                more["tools"] = job.tools
            if job.format is not None:
                more["response_format"] = {"type": "json_schema", "schema": job.format}
            return self._rendered(job.messages, more)
        except RecursionError:
            raise Unfit("nested too deeply for this model's chat template") from None
        except Exception as fault:
            # a template says by raise_exception what it cannot take; what else it raises is the messages' shape too
            said = str(fault) if isinstance(fault, TemplateError) else f"{type(fault).__name__}: {fault}"
            raise Unfit(f"this model's chat template refuses the messages: {said[:500]}", "messages") from None

    def _rendered(self, messages: Sequence[Mapping[str, Any]], more: Mapping[str, Any]) -> str:
        render: Any = self._tokenizer.apply_chat_template
        text: str = render(messages, tokenize=False, add_generation_prompt=True, **more)
        return text

    def tokens(self, prompt: str) -> list[int]:
        """The token ids of a rendered prompt, which has its own marks of begin and end."""
        found: list[int] = self._tokenizer.encode(prompt, add_special_tokens=False)
        return found

    def detokenizer(self) -> Any:
        """Token ids in, text out, as soon as whole characters are there."""
        return self._tokenizer.detokenizer

    def thinks(self, prompt: str) -> bool:
        """Whether a prompt ends inside of thinking."""
        opened = self.marks.think_open
        return bool(opened) and prompt.rstrip().endswith(opened)

    # ---- what may be said --------------------------------------------------------------------------------------------

    def steering(self, job: Job, prompt: str) -> Steering | None:
        """What holds the answer in its form; None where nothing does. Raises Unfit for a schema that none can hold."""
        rule = self._rule(job, prompt)
        frequency, presence = job.frequency_penalty or 0.0, job.presence_penalty or 0.0
        return Steering(rule, frequency, presence) if rule or frequency or presence else None

    def _rule(self, job: Job, prompt: str) -> Rule | None:
        if job.format is not None:
            self._check(grammar.closed(job.format), "format", "the schema of the answer")
        opens, closes = self._think
        about: dict[str, Any] = {
            "tokenizer": self._grammars,
            "vocabulary": max(self._vocabulary, len(self._tokenizer)),
            "ends": self.ends,
            "think_open": opens,
            "think_close": closes,
            "thinks": self.thinks(prompt),
            "may_think": job.thinking is True,
        }
        if job.calls != "none":
            # left free, a model answers in words or opens a call, and only the call is held in its form
            free = job.calls == "auto" and job.format is None
            text = grammar.calls(
                self._tools(job),
                self.marks.call_open,
                self.marks.call_close,
                parallel=job.parallel and not free,
                instead=grammar.closed(job.format) if job.format is not None and job.calls == "auto" else None,
            )
            trigger = self._call if free else None
            return Rule(text, **about, trigger=trigger, once=not job.parallel)
        if job.format is not None:
            return Rule(grammar.answer(grammar.closed(job.format)), **about)
        return None

    def _tools(self, job: Job) -> dict[str, dict[str, Any]]:
        """The parameters of the tools that may be called, by name; raises Unfit with the tool and the key."""
        known = {tool["function"]["name"]: tool["function"]["parameters"] for tool in job.tools}
        unknown = [name for name in job.callable if name not in known]
        if unknown:
            raise Unfit(f"tool_choice names {unknown[0]!r}, which is none of the tools", "tool_choice")
        found = {}
        for name in job.callable:
            schema = grammar.parameters(known[name])
            if schema.get("type", "object") != "object":
                raise Unfit(f"tool {name!r}: parameters.type must be object, is {schema['type']!r}", "tools")
            self._check(schema, "tools", f"tool {name!r}")
            found[name] = schema
        return found

    def _check(self, schema: dict[str, Any], param: str, whose: str) -> None:
        """Refuse a schema that no grammar can hold, with the library's own words for what it lacks."""
        text = json.dumps(schema)
        if text not in self._schemas:
            if len(self._schemas) > 1000:
                self._schemas.clear()
            try:
                asked = LLMatcher.grammar_from_json_schema(text)
                self._schemas[text] = LLMatcher.validate_grammar(asked, self._grammars)
            except ValueError as fault:
                self._schemas[text] = str(fault)
        if complaint := self._schemas[text]:
            told = " ".join(complaint.split())[:300]
            raise Unfit(f"{whose}: its schema cannot be guaranteed: {told}; leave that out", param)

    # ---- decoding ----------------------------------------------------------------------------------------------------

    def generator(self) -> BatchGenerator:
        """An empty batch; requests join and leave it as they come."""
        return BatchGenerator(
            self._model,
            stop_tokens=[[token] for token in sorted(self.ends)],
            completion_batch_size=self._batch,
            prefill_batch_size=min(8, self._batch),
            prefill_step_size=self._prefill,
        )

    def insert(
        self, generator: BatchGenerator, tokens: list[int], most: int, job: Job, steering: Steering | None
    ) -> tuple[int, int]:
        """Let a prompt into the batch; its uid there, and how many of its tokens were known from before."""
        kept, rest = self._kept.fetch_nearest_cache("", tokens)
        if kept is not None and not rest:  # the last token must go through the model once more to be followed
            trim_prompt_cache(kept, 1)
            rest = tokens[-1:]
        known = len(tokens) - len(rest)
        info = self.info
        banned = self._banned(job)
        draws: Any = sampler(
            info.temperature if job.temperature is None else job.temperature,
            info.top_p if job.top_p is None else job.top_p,
            info.top_k if job.top_k is None else job.top_k,
            job.seed,
            banned,
        )
        (uid,) = generator.insert(
            [rest],
            [most],
            caches=[kept],
            all_tokens=[tokens[:known]],
            samplers=[draws or self._greedy.setdefault(banned, greedy(banned))],
            logits_processors=[[steering] if steering else []],
        )
        return uid, known

    def _banned(self, job: Job) -> tuple[int, ...]:
        """Who may not call may not begin to; nor to think, where the template asks for it and nobody asked."""
        opens = self._think[0] if self._asks_to_think and not job.thinking else None
        calls = self._call if job.calls == "none" else None
        return tuple(token for token in (opens, calls) if token is not None)

    def keep(self, tokens: list[int], cache: Any) -> None:
        """Remember what was read and said, for a prompt that begins the same."""
        self._kept.insert_cache("", list(tokens), cache)

    @staticmethod
    def end() -> None:
        """The last call on this thread: without it the interpreter aborts at exit."""
        mx.synchronize()
        mx.clear_streams()
