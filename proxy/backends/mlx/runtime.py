"""Wraps mlx-lm and llguidance: loads a folder, renders and tokenises prompts, batches, caches prompts, checks schemas.

Of mlx-lm only `load` is a public function; a test checks the signatures of the other ones that are used here.
All of it runs on the engine's thread, because MLX's streams belong to the thread that created them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

if sys.platform.startswith("linux"):
    # otherwise MLX runs g++ at run time and loads the result from the temporary folder
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

from . import grammar
from .detokenizer import ByteDetokenizer, LibraryDetokenizer, byte_table
from .logits_processor import GrammarRule, RequestLogitsProcessor
from .model_folder import ModelInfo
from .output_parser import Delimiters
from .prompt_cache import PromptCache
from .request import MlxRequest
from .sampling import greedy, sampler

TOOL_FORMAT = "json_tools"
"""The only format of calls with a grammar: `<tool_call>{"name": …, "arguments": …}</tool_call>`."""

PROBE = [{"role": "user", "content": "Hello!"}]


class UnsupportedRequest(Exception):
    """This model cannot serve the request; `param` is the path of the faulty field in the neutral request, if any."""

    def __init__(self, message: str, param: str | None = None, kind: str = "bad_request") -> None:
        super().__init__(message)
        self.param = param
        self.kind = kind


class ModelLoadError(Exception):
    """The model of a folder cannot be used; the message says why."""


class Runtime:
    """A loaded model.

    `batch` bounds the requests decoded at once, `prefill` the prompt tokens of a step, `cache_bytes` the prompt cache.
    """

    def __init__(self, model: ModelInfo, *, batch: int, prefill: int, cache_bytes: int) -> None:
        self.info = model
        loaded = mlx_lm.load(str(model.folder), tokenizer_config={"trust_remote_code": False})
        self._model, self._tokenizer = loaded[0], loaded[1]
        self._prompt_cache = PromptCache(cache_bytes)
        self._batch_size, self._prefill_step = batch, prefill
        self._schemas: dict[str, str] = {}
        tokenizer = self._tokenizer
        self._byte_table = byte_table(tokenizer)
        self.end_tokens = frozenset(tokenizer.eos_token_ids)
        if not tokenizer.has_chat_template:
            raise ModelLoadError("it has no chat template; use the folder of a chat model")
        try:
            probe = self.tokens(self._render(PROBE, {}))
        except Exception as fault:  # a template is a program, which may raise anything
            raise ModelLoadError(f"its chat template fails: {fault}") from fault
        self._vocabulary = int(self._model(mx.array([probe])).shape[-1])
        self._grammar_tokenizer = llguidance.hf.from_tokenizer(
            tokenizer._tokenizer, n_vocab=max(self._vocabulary, len(tokenizer)), eos_token=sorted(self.end_tokens)
        )
        delimiter_tokens = (tokenizer.think_start_tokens, tokenizer.think_end_tokens)
        self._think_tokens = tuple(ids[0] if ids and len(ids) == 1 else None for ids in delimiter_tokens)
        self._call_token_id = self._find_call_token()
        self._greedy: dict[tuple[int, ...], Any] = {}
        enabled, disabled = (self._render(PROBE, {"enable_thinking": on}) for on in (True, False))
        self._has_thinking_switch = enabled != disabled
        self.delimiters = Delimiters(
            tokenizer.think_start or "",
            tokenizer.think_end or "",
            tokenizer.tool_call_start or "" if self._call_token_id is not None else "",
            tokenizer.tool_call_end or "" if self._call_token_id is not None else "",
        )

    def _find_call_token(self) -> int | None:
        """Returns the token that opens a call; None if this model writes calls in another format than the grammar's."""
        tokenizer = self._tokenizer
        opens, closes = tokenizer.tool_call_start_tokens, tokenizer.tool_call_end_tokens
        is_supported = tokenizer.init_kwargs.get("tool_parser_type") == TOOL_FORMAT
        return int(opens[0]) if is_supported and opens and closes and len(opens) == len(closes) == 1 else None

    # ---- prompts -----------------------------------------------------------------------------------------------------

    def prompt(self, request: MlxRequest) -> str:
        """Renders the prompt; raises UnsupportedRequest if the template refuses the messages."""
        if request.calls != "none" and self._call_token_id is None:
            message = "this model's calls have a form that no grammar here guarantees; ask without tools"
            raise UnsupportedRequest(message, "tools")
        try:
            variables: dict[str, Any] = {"enable_thinking": bool(request.thinking)}
            if request.tools:
                variables["tools"] = request.tools
            if request.format is not None:
                variables["response_format"] = {"type": "json_schema", "schema": request.format}
            return self._render(request.messages, variables)
        except RecursionError:
            raise UnsupportedRequest("nested too deeply for this model's chat template") from None
        except Exception as fault:
            # templates refuse messages with raise_exception; any other error is caused by their shape, too
            reason = str(fault) if isinstance(fault, TemplateError) else f"{type(fault).__name__}: {fault}"
            message = f"this model's chat template refuses the messages: {reason[:500]}"
            raise UnsupportedRequest(message, "messages") from None

    def _render(self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
        render: Any = self._tokenizer.apply_chat_template
        text: str = render(messages, tokenize=False, add_generation_prompt=True, **variables)
        return text

    def tokens(self, prompt: str) -> list[int]:
        """Returns the token ids of a rendered prompt, which already has its special tokens."""
        found: list[int] = self._tokenizer.encode(prompt, add_special_tokens=False)
        return found

    def detokenizer(self) -> ByteDetokenizer | LibraryDetokenizer:
        """Returns an incremental decoder from token ids to text."""
        if self._byte_table is not None:
            return ByteDetokenizer(self._byte_table)
        return LibraryDetokenizer(self._tokenizer.detokenizer)

    def is_thinking(self, prompt: str) -> bool:
        """Returns whether a prompt ends inside of thinking."""
        opened = self.delimiters.think_open
        return bool(opened) and prompt.rstrip().endswith(opened)

    # ---- constraints -------------------------------------------------------------------------------------------------

    def logits_processor(self, request: MlxRequest, prompt: str) -> RequestLogitsProcessor | None:
        """Returns the logits processor of a request, None if it needs none.

        Raises UnsupportedRequest for a schema that no grammar can guarantee.
        """
        rule = self._grammar_rule(request, prompt)
        frequency, presence = request.frequency_penalty or 0.0, request.presence_penalty or 0.0
        return RequestLogitsProcessor(rule, frequency, presence) if rule or frequency or presence else None

    def _grammar_rule(self, request: MlxRequest, prompt: str) -> GrammarRule | None:
        answer_schema = None if request.format is None else grammar.close_schema(request.format)
        if answer_schema is not None:
            self._check_schema(answer_schema, "format", "the schema of the answer")
        opens, closes = self._think_tokens
        rule_fields: dict[str, Any] = {
            "tokenizer": self._grammar_tokenizer,
            "vocabulary": max(self._vocabulary, len(self._tokenizer)),
            "end_tokens": self.end_tokens,
            "think_open": opens,
            "think_close": closes,
            "in_thinking": self.is_thinking(prompt),
            "may_think": request.thinking is True,
        }
        if request.calls != "none":
            # with a free choice the model answers in text or opens a call, and only the call is constrained
            free = request.calls == "auto" and request.format is None
            text = grammar.calls_grammar(
                self._tool_schemas(request),
                self.delimiters.call_open,
                self.delimiters.call_close,
                parallel=request.parallel and not free,
                answer_schema=answer_schema if request.calls == "auto" else None,
            )
            trigger = self._call_token_id if free else None
            return GrammarRule(text, **rule_fields, trigger=trigger, once=not request.parallel)
        if answer_schema is not None:
            return GrammarRule(grammar.answer_grammar(answer_schema), **rule_fields)
        return None

    def _tool_schemas(self, request: MlxRequest) -> dict[str, dict[str, Any]]:
        """Returns the closed parameters of the callable tools by name.

        Raises UnsupportedRequest with the tool and the keyword that cannot be guaranteed.
        """
        known = {tool["function"]["name"]: tool["function"]["parameters"] for tool in request.tools}
        unknown = [name for name in request.callable if name not in known]
        if unknown:
            raise UnsupportedRequest(f"tool_choice names {unknown[0]!r}, which is none of the tools", "tool_choice")
        found = {}
        for name in request.callable:
            schema = grammar.close_parameters(known[name])
            if schema.get("type", "object") != "object":
                message = f"tool {name!r}: parameters.type must be object, is {schema['type']!r}"
                raise UnsupportedRequest(message, "tools")
            self._check_schema(schema, "tools", f"tool {name!r}")
            found[name] = schema
        return found

    def _check_schema(self, schema: dict[str, Any], param: str, subject: str) -> None:
        """Raises UnsupportedRequest for a schema that no grammar can guarantee, with the reason of the library."""
        text = json.dumps(schema)
        if text not in self._schemas:
            if len(self._schemas) > 1000:
                self._schemas.clear()
            try:
                schema_grammar = LLMatcher.grammar_from_json_schema(text)
                self._schemas[text] = LLMatcher.validate_grammar(schema_grammar, self._grammar_tokenizer)
            except ValueError as fault:
                self._schemas[text] = str(fault)
        if complaint := self._schemas[text]:
            reason = " ".join(complaint.split())[:300]
            raise UnsupportedRequest(f"{subject}: its schema cannot be guaranteed: {reason}; leave that out", param)

    # ---- decoding ----------------------------------------------------------------------------------------------------

    def generator(self) -> BatchGenerator:
        """Returns an empty batch, to which requests are added and from which they are removed."""
        return BatchGenerator(
            self._model,
            stop_tokens=[[token] for token in sorted(self.end_tokens)],
            completion_batch_size=self._batch_size,
            prefill_batch_size=min(8, self._batch_size),
            prefill_step_size=self._prefill_step,
        )

    def insert(
        self,
        generator: BatchGenerator,
        tokens: list[int],
        max_tokens: int,
        request: MlxRequest,
        logits_processor: RequestLogitsProcessor | None,
    ) -> tuple[int, int]:
        """Adds a prompt to the batch; returns its uid and how many of its tokens were cached."""
        cached: Any
        cached, cached_count = self._prompt_cache.fetch(tokens)
        info = self.info
        banned = self._banned_tokens(request)
        own_sampler: Any = sampler(
            info.temperature if request.temperature is None else request.temperature,
            info.top_p if request.top_p is None else request.top_p,
            info.top_k if request.top_k is None else request.top_k,
            request.seed,
            banned,
        )
        (uid,) = generator.insert(
            [tokens[cached_count:]],
            [max_tokens],
            caches=[cached],
            all_tokens=[tokens[:cached_count]],
            samplers=[own_sampler or self._greedy.setdefault(banned, greedy(banned))],
            logits_processors=[[logits_processor] if logits_processor else []],
        )
        return uid, cached_count

    def _banned_tokens(self, request: MlxRequest) -> tuple[int, ...]:
        """Returns the tokens that would open a forbidden call, or thinking that was not requested."""
        opens = self._think_tokens[0] if self._has_thinking_switch and not request.thinking else None
        calls = self._call_token_id if request.calls == "none" else None
        return tuple(token for token in (opens, calls) if token is not None)

    def cache_prompt(self, tokens: list[int], cache: Any) -> None:
        """Caches a prompt and its output, for prompts with the same beginning."""
        # until it is computed, it keeps the whole batch's arrays alive
        compute: Any = mx.async_eval
        compute([layer.state for layer in cache])
        self._prompt_cache.insert(tokens, cache)

    @staticmethod
    def shut_down() -> None:
        """Releases MLX at the end of the thread; without it the interpreter aborts at exit."""
        mx.synchronize()
        mx.clear_cache()
        mx.clear_streams()
