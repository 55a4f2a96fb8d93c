"""The ledger of losses: one closed vocabulary, one table of what each word costs, and the walk that finds leftovers.

It knows every word that a loss may have, and no dialect's wire format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from .ir import Block, Citation, Loss, Opaque, Own, Reply, Request, Text, ToolResult

Action = Literal["refuse", "drop", "approximate"]


class Rule(Struct, frozen=True):
    """What happens to a feature that a target cannot say, and what the word means."""

    action: Action
    meaning: str


LEDGER: dict[str, Rule] = {
    # what a backend cannot take in
    "image": Rule("refuse", "an image that the target cannot take"),
    "document": Rule("refuse", "a document that the target cannot take"),
    "audio": Rule("refuse", "sound that the target cannot take"),
    "video": Rule("refuse", "a video that the target cannot take"),
    "media_out": Rule("refuse", "an answer in pictures or sound"),
    "previous_response_id": Rule("refuse", "a conversation that only the provider's own store holds"),
    "forced_hosted_tool": Rule("refuse", "a tool that only its provider can run, and that must be called"),
    "stored_response": Rule("refuse", "an answer that is to be fetched from the provider's own store"),
    "token_input": Rule("refuse", "a text to embed as token ids, which only its own tokenizer can read"),
    "dimensions": Rule("refuse", "vectors of several lengths in one batch"),
    # tools
    "hosted_tools": Rule("drop", "a tool that only its provider can run"),
    "hosted_output": Rule("drop", "what a hosted tool said or did"),
    "custom_tool": Rule("approximate", "a free-text tool, played by a function with one string"),
    "allowed_tools": Rule("approximate", "a subset of tools that may be called"),
    "tool_choice": Rule("approximate", "which tool may or must be called"),
    "parallel_tool_calls": Rule("drop", "whether several calls may come at once"),
    "tool_strict": Rule("drop", "that arguments must fit their schema exactly"),
    "tool_arguments": Rule("approximate", "arguments that are no JSON object, wrapped as {input: text}"),
    "tool_error": Rule("approximate", "that a tool failed, said in the text of its result"),
    "tool_result_media": Rule("approximate", "pictures or files inside a tool's result"),
    "tool_namespace": Rule("drop", "the description of a group of tools; their names carry the group"),
    "orphan": Rule("drop", "a tool result without its call, or a call without its result"),
    # reasoning
    "reasoning": Rule("approximate", "how much the model may think"),
    "reasoning_text": Rule("drop", "what the model thought"),
    "signature": Rule("drop", "a proof of thought that only its provider can read"),
    # sampling and limits
    "temperature": Rule("approximate", "a temperature out of the target's range"),
    "top_p": Rule("drop", "nucleus sampling"),
    "top_k": Rule("drop", "sampling from the k likeliest"),
    "seed": Rule("drop", "a seed for repeatable sampling"),
    "penalties": Rule("drop", "frequency and presence penalties"),
    "sampler": Rule("drop", "a way of sampling that the target lacks, such as min_p or mirostat"),
    "load_options": Rule("drop", "how a server of one's own loads the model: context size, threads, layers"),
    "max_tokens": Rule("approximate", "the bound on the answer's length"),
    "stop": Rule("approximate", "stop sequences beyond the target's number"),
    "matched_stop": Rule("drop", "which stop sequence was hit"),
    "n": Rule("drop", "more than one answer"),
    "logprobs": Rule("drop", "token probabilities"),
    "prediction": Rule("drop", "predicted output"),
    # form
    "role": Rule("approximate", "a system or developer message at this place, folded into a turn beside it"),
    "name": Rule("drop", "the name of a message's author"),
    "json_schema": Rule("approximate", "the shape that the answer must have"),
    "json_object": Rule("approximate", "that the answer must be JSON"),
    "verbosity": Rule("drop", "how wordy the answer should be"),
    "phase": Rule("drop", "whether a message is commentary or the final answer"),
    "refusal": Rule("approximate", "a refusal, told as plain text"),
    "citations": Rule("drop", "the sources of a text"),
    "stop_reason": Rule("approximate", "why the model stopped, in a word that the other side lacks"),
    "stop_details": Rule("drop", "the provider's own words about why it stopped or blocked"),
    # book-keeping that a client asked for
    "cache_control": Rule("drop", "where the prompt cache may cut"),
    "service_tier": Rule("drop", "which tier of service to use"),
    "user": Rule("drop", "who the end user is"),
    "metadata": Rule("drop", "labels for the provider's own records"),
    "store": Rule("drop", "that the provider should keep the answer"),
    "safety_settings": Rule("drop", "the provider's own safety thresholds"),
    "embedding_options": Rule("drop", "what a vector is for, or what to do with a text that is too long"),
    "unknown_field": Rule("drop", "a field that no table here knows"),
}

WORDS: dict[str, str] = {
    "n": "n",
    "candidateCount": "n",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "logprobsResult": "logprobs",
    "avgLogprobs": "logprobs",
    "responseLogprobs": "logprobs",
    "logit_bias": "logprobs",
    "prediction": "prediction",
    "repeat_penalty": "penalties",
    "repetition_penalty": "penalties",
    "repeat_last_n": "penalties",
    "penalize_newline": "penalties",
    "min_p": "sampler",
    "typical_p": "sampler",
    "tfs_z": "sampler",
    "mirostat": "sampler",
    "mirostat_tau": "sampler",
    "mirostat_eta": "sampler",
    "num_ctx": "load_options",
    "num_batch": "load_options",
    "num_gpu": "load_options",
    "main_gpu": "load_options",
    "num_thread": "load_options",
    "num_keep": "load_options",
    "low_vram": "load_options",
    "f16_kv": "load_options",
    "use_mmap": "load_options",
    "use_mlock": "load_options",
    "numa": "load_options",
    "modalities": "media_out",
    "responseModalities": "media_out",
    "audio": "media_out",
    "images": "media_out",
    "previous_response_id": "previous_response_id",
    "conversation": "previous_response_id",
    "prompt": "previous_response_id",
    "item_reference": "previous_response_id",
    "thread": "previous_response_id",
    "input_video": "video",
    "video": "video",
    "allowed_tools": "allowed_tools",
    "forced_hosted_tool": "forced_hosted_tool",
    "namespace.description": "tool_namespace",
    "phase": "phase",
    "name": "name",
    "cache_control": "cache_control",
    "prompt_cache_key": "cache_control",
    "prompt_cache_retention": "cache_control",
    "prompt_cache_options": "cache_control",
    "prompt_cache_breakpoint": "cache_control",
    "cachedContent": "cache_control",
    "service_tier": "service_tier",
    "inference_geo": "service_tier",
    "metadata": "metadata",
    "labels": "metadata",
    "client_metadata": "metadata",
    "safety_identifier": "user",
    "store": "store",
    "response.store": "stored_response",
    "background": "stored_response",
    "safetySettings": "safety_settings",
    "verbosity": "verbosity",
    "citations": "citations",
    "annotations": "citations",
    "citationMetadata": "citations",
    "groundingMetadata": "citations",
    "webSearchQueries": "hosted_output",
    "searchEntryPoint": "hosted_output",
    "retrievalMetadata": "hosted_output",
    "urlContextMetadata": "hosted_output",
    "retrievalConfig": "hosted_tools",
    "thoughtSignature": "signature",
    "serviceTier": "service_tier",
    "web_search_options": "hosted_tools",
    "mcp_servers": "hosted_tools",
    "container": "hosted_tools",
    "functions": "hosted_tools",
    "stop_details": "stop_details",
    "finishMessage": "stop_details",
    "promptFeedback": "stop_details",
    "blockReasonMessage": "stop_details",
    "context_management": "metadata",
    "diagnostics": "metadata",
    "speed": "service_tier",
    "effort": "reasoning",
    "thinking": "reasoning",
    "display": "reasoning",
    "embed.taskType": "embedding_options",
    "embed.title": "embedding_options",
    "embed.truncate": "embedding_options",
    "embed.autoTruncate": "embedding_options",
    "search_result": "citations",
    "source": "citations",
    "defer_loading": "hosted_tools",
}
"""A field's wire name, wherever it was left over, and the ledger's word for it; all others are `unknown_field`."""

ANY = object()

HARMLESS: dict[str, tuple[Any, ...]] = {
    # a field that asks for what the target does anyway
    "n": (1,),
    "candidateCount": (1,),
    "stream": (False, True),
    "stream_options": (ANY,),
    "store": (False,),
    "background": (False,),
    # "A thread is best-effort": a client keeps its own copy, and hears that there is none when it continues one.
    # https://platform.claude.com/docs/en/build-with-claude/message-threads
    "thread": ({"type": "create"},),
    "logprobs": (False, []),
    "responseLogprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "service_tier": ("auto", "default", "standard", "standard_only"),
    "modalities": (["text"],),
    "responseModalities": (["TEXT"],),
    "truncation": ("disabled",),
    "verbosity": ("medium",),
    "type": (ANY,),
    "metadata": ({},),
    "annotations": ([],),
    "citations": ([], {"enabled": False}),
    "web_citations": (ANY,),
    "caller": ({"type": "direct"},),
    "allowed_callers": (["direct"],),
    "defer_loading": (False,),
    "context_management": ({"applied_edits": []},),
    "speed": ("standard",),
    "usage": (ANY,),
    "images": ([],),
    "functions": ([],),
    "include": ([], ["reasoning.encrypted_content"]),
    "include_obfuscation": (ANY,),
    # "format: The format of the reasoning detail": https://openrouter.ai/docs/use-cases/reasoning-tokens
    "format": (
        *("unknown", "anthropic-claude-v1", "google-gemini-v1", "openai-responses-v1"),
        *("azure-openai-responses-v1", "xai-responses-v1"),
    ),
    "detail": ("auto",),
    "additional_tools": (ANY,),
    "finishMessage": ("Model generated function call(s).",),
    "num_predict": (-1, -2),
    # book-keeping: said of the answer, no part of it
    "id": (ANY,),
    "status": (ANY,),
    "index": (ANY,),
    "object": (ANY,),
    "created": (ANY,),
    "created_at": (ANY,),
    "completed_at": (ANY,),
    "created_by": (ANY,),
    "response.echo": (ANY,),
    "system_fingerprint": (ANY,),
    "obfuscation": (ANY,),
    "provider": (str,),  # an answer names its host by it; in a request it is an object that chooses hosts
    "native_finish_reason": (ANY,),
    "timings": (ANY,),
    "cost": (ANY,),
    "latency_checkpoint": (ANY,),
    "x_groq": (ANY,),
    "p": (ANY,),
    "prompt_filter_results": (ANY,),
    "content_filter_results": (ANY,),
    "safetyRatings": (ANY,),
    "blockReason": (ANY,),  # told as the reason of the stop, as `finishReason` is
    "safetySettings": ([],),
    "avgLogprobs": (ANY,),
    "tokenCount": (ANY,),
    "modelStatus": (ANY,),
    "streamFunctionCallArguments": (ANY,),
    # a stand-in that proves nothing: https://ai.google.dev/gemini-api/docs/thought-signatures
    "thoughtSignature": (
        "skip_thought_signature_validator",
        "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
        "context_engineering_is_the_way_to_go",
        "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
    ),
    "createTime": (ANY,),
    "responseId": (ANY,),
    "modelVersion": (ANY,),
    "total_duration": (ANY,),
    "load_duration": (ANY,),
    "prompt_eval_duration": (ANY,),
    "eval_duration": (ANY,),
    "remote_model": (ANY,),
    "remote_host": (ANY,),
}
"""Left-over fields that are no loss, and with which values, or values of which type. Absent and null never are one."""


def word(key: str) -> str:
    """The ledger's word for a left-over field; of a dotted key, which says where it sat, the last name counts."""
    return WORDS.get(key) or WORDS.get(key.rpartition(".")[2], "unknown_field")


def is_harmless(key: str, value: object) -> bool:
    """Whether a left-over field says nothing that a target would not do or know anyway."""
    if value is None:
        return True
    allowed = HARMLESS.get(key) or HARMLESS.get(key.rpartition(".")[2])
    return allowed is not None and (allowed[0] is ANY or value in allowed or type(value) in allowed)


def loss(path: str, feature: str) -> Loss:
    """A loss by the table's own manner: a word that is neither dropped nor approximated there is dropped."""
    return Loss(path, feature, "approximated" if LEDGER[feature].action == "approximate" else "dropped")


def leftovers(own: Own, path: str) -> Iterator[Loss]:
    """The losses in what a decoder left over, for a dialect that cannot put it back."""
    if own:
        for key, value in own.items():
            if not is_harmless(key, value):
                feature = word(key)
                yield Loss(f"{path}.{key}" if path else key, feature, "dropped")


def request_leftovers(request: Request) -> list[Loss]:
    """Every left-over field of a request that goes to another dialect, with its path in the neutral form."""
    found = list(leftovers(request.own, "")) if request.own else []
    for t, turn in enumerate(request.turns):
        if turn.own:
            found += leftovers(turn.own, f"turns[{t}]")
        for b, block in enumerate(turn.blocks):
            if type(block) is not Text or block.own:  # most blocks are plain text, and this is the hot path
                found += _block_leftovers(block, f"turns[{t}].blocks[{b}]")
    for i, tool in enumerate(request.tools):
        if isinstance(tool, Opaque):
            found.append(loss(f"tools[{i}].{tool.kind}", "hosted_tools"))
        elif tool.own:
            found += leftovers(tool.own, f"tools[{i}]")
    for part, path in (
        (request.tool_choice, "tool_choice"),
        (request.reasoning, "reasoning"),
        (request.format, "format"),
    ):
        if part is not None and part.own:
            found += leftovers(part.own, path)
    return found


def reply_leftovers(reply: Reply) -> list[Loss]:
    """Every left-over field of a reply that goes to a client of another dialect."""
    found = list(leftovers(reply.own, ""))
    for b, block in enumerate(reply.blocks):
        found += _block_leftovers(block, f"blocks[{b}]")
    return found


def block_leftovers(block: Block, index: int) -> list[Loss]:
    """The left-over fields of one block of a streamed reply."""
    return list(_block_leftovers(block, f"blocks[{index}]"))


def _block_leftovers(block: Block, path: str) -> Iterator[Loss]:
    if isinstance(block, Opaque):
        feature = word(block.kind)
        yield loss(f"{path}.{block.kind}", "hosted_output" if feature == "unknown_field" else feature)
        return
    if block.own:
        yield from leftovers(block.own, path)
    if isinstance(block, ToolResult):
        for b, inner in enumerate(block.blocks):
            yield from _block_leftovers(inner, f"{path}.blocks[{b}]")


def quote_losses(citations: Sequence[Citation], path: str, first: int = 0) -> list[Loss]:
    """The words of the sources themselves, for a dialect that has room for their addresses alone."""
    return [
        loss(f"{path}.citations[{c}].text", "citations")
        for c, citation in enumerate(citations, first)
        if citation.text is not None
    ]


def words(losses: Mapping[Loss, None] | list[Loss] | tuple[Loss, ...]) -> list[str]:
    """The distinct words of some losses, in their order."""
    return list(dict.fromkeys(entry.feature for entry in losses))
