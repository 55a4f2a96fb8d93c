"""The rows of hosts: what a provider of the table of providers refuses or names otherwise, whatever the model."""

from __future__ import annotations

from .row import Trait, words

_MAX_TOKENS = {"max_completion_tokens": "max_tokens"}
_NO_DEVELOPER = {"developer": "system"}
_OPENAI = ("openai", "openai-responses", "azure-openai")

HOSTS: tuple[Trait, ...] = (
    # under "Supported request fields" of /v1/chat/completions without a mark: tool_choice, logit_bias, user, n
    Trait(
        provider="ollama-v1",
        refuses=words("forced_tools logit_bias user"),
        source="https://docs.ollama.com/api/openai-compatibility",
        date="2026-11-30",
    ),
    # "invalid image input" for an image_url that is no data URL of base64
    Trait(
        provider="ollama-v1",
        refuses=words("image_url"),
        source="https://github.com/ollama/ollama/blob/main/openai/openai.go",
        date="2026-11-30",
    ),
    # "gpt-3.5-turbo-instruct, babbage-002, davinci-002" under /v1/completions; chat models are refused there
    Trait(
        provider="openai",
        models=r"^(gpt-3\.5-turbo-instruct|babbage-002|davinci-002)",
        takes=words("completions"),
        source="https://platform.openai.com/docs/deprecations",
        date="2026-11-30",
    ),
    # "OpenAI enforces a 64 character maximum on the user field"; "Invalid 'prompt_cache_key': string too long. Expected
    # a string with maximum length 64" (Azure: https://github.com/buhlergroup/buhler-chat/pull/181)
    *(
        Trait(
            provider=provider,
            limits={"user": 64, "safety_identifier": 64, "prompt_cache_key": 64},
            source="https://github.com/maximhq/bifrost/pull/1000",
            date="2026-11-30",
        )
        for provider in _OPENAI
    ),
    # "top_k", "reasoning_details": https://openrouter.ai/docs/api-reference/parameters and
    # https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks
    Trait(
        provider="openrouter",
        takes=words("top_k reasoning_details min_p"),
        source="https://openrouter.ai/docs/api-reference/parameters",
        date="2026-11-30",
    ),
    Trait(
        provider="openrouter",
        takes=words("cache_control"),
        source="https://openrouter.ai/docs/features/prompt-caching",
        date="2026-11-30",
    ),
    Trait(
        provider="openrouter",
        takes=words("video_url"),
        source="https://openrouter.ai/docs/features/multimodal/videos",
        date="2026-11-30",
    ),
    Trait(
        provider="openrouter",
        takes=words("web_search"),
        source="https://openrouter.ai/docs/features/web-search",
        date="2026-11-30",
    ),
    # "user" is refused beyond 128 characters
    Trait(
        provider="openrouter",
        limits={"user": 128},
        source="https://github.com/ujisati/claude-code-provider-proxy/issues/11",
        date="2026-11-30",
    ),
    # "const { reasoning_effort, ...rest } = body; return rest;"
    Trait(
        provider="nearai",
        refuses=words("effort"),
        source="https://ai-sdk.dev/providers/openai-compatible-providers/nearai",
        date="2026-11-30",
    ),
    # "for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content' is
    # unsupported)]"
    Trait(
        provider="groq",
        refuses=words("reasoning_content"),
        source="https://github.com/janhq/jan/issues/8136",
        date="2026-11-30",
    ),
    # "logprobs, logit_bias, top_logprobs, messages[].name": "If you specify any of these fields in your request, you
    # will get a 400 error back"
    Trait(
        provider="groq",
        refuses=words("logprobs logit_bias"),
        source="https://console.groq.com/docs/openai",
        date="2026-11-30",
    ),
    # the request has `max_tokens` and the roles system, user, assistant and tool; `content` is a string
    Trait(
        provider="deepseek",
        refuses=words("parallel_tool_calls content_parts"),
        renames={**_MAX_TOKENS, **_NO_DEVELOPER},
        source="https://api-docs.deepseek.com/api/create-chat-completion",
        date="2026-11-30",
    ),
    # of a turn with tool calls "the reasoning_content must be fully passed back to the API in all subsequent requests";
    # the switch is {"thinking": {"type": "enabled/disabled"}}, on by default, and the effort low, high or max
    Trait(
        provider="deepseek",
        takes=words("reasoning_content"),
        renames={"thinking": "thinking.type"},
        source="https://api-docs.deepseek.com/guides/thinking_mode",
        date="2026-11-30",
    ),
    # the request's schema has `max_tokens`, `random_seed` and no `stream_options`, takes no further fields, and its
    # roles are system, user, assistant and tool
    Trait(
        provider="mistral",
        refuses=words("stream_options user logprobs logit_bias"),
        renames={**_MAX_TOKENS, **_NO_DEVELOPER, "seed": "random_seed"},
        source="https://docs.mistral.ai/api/endpoint/chat",
        date="2026-11-30",
    ),
    # "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9."
    Trait(
        provider="mistral",
        limits={"alphanumeric_call_id": 9},
        source="https://github.com/langchain-ai/langchain/pull/24668",
        date="2026-11-30",
    ),
    # `max_tokens`, `top_k`, `min_p`, `repetition_penalty`
    Trait(
        provider="together",
        takes=words("top_k min_p"),
        renames={**_MAX_TOKENS, **_NO_DEVELOPER},
        source="https://docs.together.ai/reference/chat-completions-1",
        date="2026-11-30",
    ),
    Trait(
        provider="fireworks",
        takes=words("top_k"),
        source="https://docs.fireworks.ai/api-reference/post-chatcompletions",
        date="2026-11-30",
    ),
    # "Our implementation does not expose developer directly."
    Trait(
        provider="cerebras",
        renames=_NO_DEVELOPER,
        source="https://inference-docs.cerebras.ai/resources/openai",
        date="2026-11-30",
    ),
    # "sequence item 0: expected str instance, list found"
    Trait(
        provider="nvidia",
        refuses=words("content_parts"),
        renames={**_MAX_TOKENS, **_NO_DEVELOPER},
        source="https://docs.api.nvidia.com/nim/reference/llm-apis",
        date="2026-11-30",
    ),
    # open models' chat templates know system, user, assistant and tool: "Unexpected message role"
    Trait(
        provider="vllm",
        takes=words("top_k"),
        renames=_NO_DEVELOPER,
        source="https://github.com/vllm-project/vllm/issues/42407",
        date="2026-11-30",
    ),
    # "Completions API (/v1/completions)", "min_p", "repetition_penalty"
    Trait(
        provider="vllm",
        takes=words("completions min_p"),
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server/",
        date="2026-11-30",
    ),
    Trait(
        provider="vllm",
        takes=words("video_url"),
        source="https://docs.vllm.ai/en/latest/features/multimodal_inputs.html",
        date="2026-11-30",
    ),
    Trait(
        provider="llama.cpp",
        takes=words("top_k"),
        renames=_NO_DEVELOPER,
        source="https://github.com/ggml-org/llama.cpp/issues/20733",
        date="2026-11-30",
    ),
    # "POST /v1/completions: OpenAI-compatible Completions API", and the samplers of its own
    Trait(
        provider="llama.cpp",
        takes=words("completions llama_samplers"),
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        date="2026-11-30",
    ),
    # lists max_tokens and top_k
    Trait(
        provider="lmstudio",
        takes=words("top_k"),
        renames={**_MAX_TOKENS, **_NO_DEVELOPER},
        source="https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
        date="2026-11-30",
    ),
    Trait(
        provider="lmstudio",
        takes=words("completions"),
        source="https://lmstudio.ai/docs/developer/openai-compat/completions",
        date="2026-11-30",
    ),
)
"""All rows of one host apply, in this order."""
