"""The rows of models: what a family of models refuses, wants or does where nothing is said, whoever serves it.

A model that no row names is taken to follow its protocol. Where the source is a table of another library, that library
checked it against the vendor's API.
"""

from __future__ import annotations

from .row import Trait, words

_PROFILES = "https://github.com/pydantic/pydantic-ai/blob/main/pydantic_ai_slim/pydantic_ai/profiles"
_DATE = "2026-11-30"
_SAMPLING = words("temperature top_p penalties logit_bias logprobs")
_MIGRATION = "https://platform.claude.com/docs/en/about-claude/models/migration-guide"
_OVERVIEW = "https://platform.claude.com/docs/en/about-claude/models/overview"
_MODERN = r"claude-(opus-(4[-.][7-9]|[5-9])|(sonnet|haiku)-[5-9]|fable|mythos)"

REASONING: tuple[Trait, ...] = (
    # "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
    # The models that take the effort none take these fields with it.
    Trait(
        models=r"^(o[134](-|$)|gpt-5(?!-chat)|gpt-6)",
        refuses_while_thinking=_SAMPLING,
        defaults={"effort": "medium"},
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    # "Unsupported parameter: 'stop' is not supported with this model."; "Not supported with latest reasoning models o3
    # and o4-mini" (https://platform.openai.com/docs/api-reference/chat/create#chat_create-stop): o1 and o3-mini take it
    Trait(
        models=r"^(o1-(mini|preview)|o3(?!-mini)(-|$)|o4(-|$)|gpt-5(?!-chat))",
        refuses=words("stop"),
        source="https://github.com/musistudio/claude-code-router/issues/849",
        date=_DATE,
    ),
    # "max_tokens: Deprecated in favor of max_completion_tokens, and is not compatible with o-series models."
    Trait(
        models=r"^(o[134](-|$)|gpt-5(?!-chat)|gpt-6)",
        refuses=words("max_tokens"),
        source="https://platform.openai.com/docs/api-reference/chat/create",
        date=_DATE,
    ),
    Trait(
        models=r"^o[134](-|$)",
        efforts=("low", "medium", "high"),
        source="https://platform.openai.com/docs/guides/reasoning",
        date=_DATE,
    ),
    # "Unsupported value: 'messages[0].role' does not support 'system' with this model."
    Trait(
        models=r"^o1-(mini|preview)",
        renames={"developer": "user", "system": "user"},
        efforts=(),
        source="https://community.openai.com/t/o1-models-do-not-support-system-role-in-chat-completion/953880",
        date=_DATE,
    ),
    Trait(
        models=r"^gpt-5(-(mini|nano)|-\d|$)",
        efforts=("minimal", "low", "medium", "high"),
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(
        models=r"^gpt-5-pro",
        efforts=("high",),
        defaults={"effort": "high"},
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(models=r"^gpt-5-chat", efforts=(), source=f"{_PROFILES}/openai.py", date=_DATE),
    # "Unrecognized request argument supplied: reasoning_effort"
    Trait(models=r"^(gpt-(3\.5|4)|chatgpt-4o)", efforts=(), source=f"{_PROFILES}/openai.py", date=_DATE),
    Trait(
        models=r"^gpt-5\.1(-mini|-\d|$)",
        efforts=("none", "low", "medium", "high"),
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(
        models=r"^gpt-5\.[2-5](-(mini|nano)|-\d|$)",
        efforts=("none", "low", "medium", "high", "xhigh"),
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(
        models=r"^gpt-5\.[1-4](-(mini|nano)|-\d|$)",
        defaults={"effort": "none"},
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(
        models=r"^(gpt-5\.6|gpt-6-(sol|luna)|gpt-6\.1-terra)",
        efforts=("none", "low", "medium", "high", "xhigh", "max"),
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(
        models=r"^(gpt-6-astra|gpt-6\.1-sol)",
        efforts=("low", "medium", "high", "xhigh", "max"),
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(
        models=r"^gpt-5\.\d+-pro",
        efforts=("medium", "high", "xhigh"),
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    Trait(
        models=r"^gpt-5\.\d+-chat",
        efforts=("medium",),
        source=f"{_PROFILES}/openai.py",
        date=_DATE,
    ),
    # "Function tools with reasoning_effort are not supported for gpt-5.4 in /v1/chat/completions. Please use
    # /v1/responses instead." These think only if they are asked to, so the field is left out.
    Trait(
        models=r"^gpt-5\.[24](-(mini|nano)|-\d|$)",
        forces={"effort_with_tools": ""},
        source="https://github.com/openai/openai-openapi/issues/541",
        date=_DATE,
    ),
    # "To use function tools, use /v1/responses or set reasoning_effort to 'none'." These think unless they are told not
    # to: "tools only => 400 Function tools with reasoning_effort are not supported"
    Trait(
        models=r"^gpt-5\.[56](?!-pro)",
        forces={"effort_with_tools": "none"},
        source="https://github.com/BerriAI/litellm/pull/34569",
        date=_DATE,
    ),
)

CLAUDE: tuple[Trait, ...] = (
    # https://platform.claude.com/docs/en/build-with-claude/thinking and …/structured-outputs list the models
    Trait(
        models=r"claude-(instant|2|3[-.](opus|sonnet|haiku|5))",
        refuses=words("thinking structured"),
        source="https://platform.claude.com/docs/en/build-with-claude/extended-thinking",
        date=_DATE,
    ),
    Trait(
        models=r"claude-(3[-.]7|(opus|sonnet)-4(-0|-2025|$))",
        refuses=words("structured"),
        source="https://platform.claude.com/docs/en/build-with-claude/structured-outputs",
        date=_DATE,
    ),
    # "adaptive thinking is not supported on this model": thinking has a budget, and only Opus 4.5 takes an effort
    Trait(
        models=r"claude-(3[-.]7|(opus|sonnet|haiku)-4(-0|-2025|$|[-.][15](?!\d)))",
        refuses=words("adaptive effort"),
        source="https://github.com/anthropics/skills/tree/main/skills/claude-api",
        date=_DATE,
    ),
    Trait(
        models=r"claude-opus-4[-.]5(?!\d)",
        takes=words("effort budget"),
        efforts=("low", "medium", "high"),
        source="https://platform.claude.com/docs/en/build-with-claude/effort",
        date=_DATE,
    ),
    # "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    Trait(
        models=r"claude-(opus-4[-.][156](?!\d)|(sonnet|haiku)-4[-.][56](?!\d))",
        refuses=words("temperature_with_top_p"),
        source="https://github.com/Bin-Huang/chatbox/issues/2670",
        date=_DATE,
    ),
    # "Supported levels: high, low, max, medium."
    Trait(
        models=r"claude-(opus|sonnet)-4[-.]6",
        takes=words("adaptive budget"),
        efforts=("low", "medium", "high", "max"),
        source="https://platform.claude.com/docs/en/build-with-claude/effort",
        date=_DATE,
    ),
    # "This model does not support assistant message prefill. The conversation must end with a user message."
    Trait(
        models=rf"{_MODERN}|claude-(opus|sonnet)-4[-.]6",
        refuses=words("prefill"),
        source=_MIGRATION,
        date=_DATE,
    ),
    # "Setting temperature, top_p, or top_k to a non-default value returns a 400 error"; "manual extended thinking
    # rejected"
    Trait(
        models=_MODERN,
        takes=words("adaptive"),
        refuses=words("budget temperature top_p top_k"),
        efforts=("low", "medium", "high", "xhigh", "max"),
        source=_MIGRATION,
        date=_DATE,
    ),
    # "thinking.display defaults to omitted"
    Trait(
        models=_MODERN,
        defaults={"display": "omitted"},
        source="https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-7",
        date=_DATE,
    ),
    # "you can include messages with "role": "system" after a user turn"
    Trait(
        models=r"claude-(opus-(4[-.]8|5)|fable-5|mythos-5)",
        takes=words("system_messages"),
        source="https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages",
        date=_DATE,
    ),
    # "explicit disabled returns 400"
    Trait(
        models=r"claude-(fable|mythos|(opus|sonnet)-5[-.]5)",
        refuses=words("thinking_off"),
        source="https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking",
        date=_DATE,
    ),
    # "tool_choice: type "tool" and "any" are not supported for this model."
    Trait(
        models=r"claude-((opus|sonnet)-5[-.]5|(fable|mythos)-5[-.][12])",
        refuses=words("forced_tools"),
        source=f"{_PROFILES}/anthropic.py",
        date=_DATE,
    ),
    # "Max output": more is a 400
    Trait(models=r"claude-(instant|2)", limits={"max_tokens": 4096}, source=_OVERVIEW, date=_DATE),
    Trait(models=r"claude-3-(opus|sonnet|haiku)", limits={"max_tokens": 4096}, source=_OVERVIEW, date=_DATE),
    Trait(models=r"claude-3[-.]5", limits={"max_tokens": 8192}, source=_OVERVIEW, date=_DATE),
    Trait(models=r"claude-3[-.]7", limits={"max_tokens": 64_000}, source=_OVERVIEW, date=_DATE),
    Trait(models=r"claude-opus-4(-0|-2025|$|[-.]1(?!\d))", limits={"max_tokens": 32_000}, source=_OVERVIEW, date=_DATE),
    Trait(
        models=r"claude-(sonnet-4(-0|-2025|$)|(opus|sonnet|haiku)-4[-.]5(?!\d))",
        limits={"max_tokens": 64_000},
        source=_OVERVIEW,
        date=_DATE,
    ),
    Trait(
        models=rf"{_MODERN}|claude-(opus|sonnet)-4[-.]6",
        limits={"max_tokens": 128_000},
        source=_OVERVIEW,
        date=_DATE,
    ),
)

GENERATIONS: tuple[Trait, ...] = (
    # "An error will be returned if this field is set for models that don't support thinking."
    Trait(
        models=r"gemini-(1|2\.0)",
        refuses=words("thinking"),
        source="https://ai.google.dev/api/generate-content#ThinkingConfig",
        date=_DATE,
    ),
    Trait(
        models=r"gemini-[12]\.",
        refuses=words("media_in_results"),
        source="https://ai.google.dev/gemini-api/docs/function-calling",
        date=_DATE,
    ),
    # "Function calling with a response mime type: 'application/json' is unsupported"
    Trait(
        models=r"gemini-[12]\.",
        refuses=words("functions_with_json"),
        source="https://github.com/googleapis/python-genai/issues/867",
        date=_DATE,
    ),
    # "Tool use with function calling is unsupported"
    Trait(
        models=r"gemini-[12]\.",
        refuses=words("functions_with_search"),
        source="https://github.com/symfony/ai/issues/803",
        date=_DATE,
    ),
    # The table of budgets: minimum and maximum, and whether 0 turns thinking off
    Trait(
        models=r"gemini-2\.5-pro",
        refuses=words("thinking_off"),
        limits={"budget_min": 128, "budget_max": 32768},
        source="https://ai.google.dev/gemini-api/docs/thinking#set-budget",
        date=_DATE,
    ),
    Trait(
        models=r"gemini-2\.5-flash",
        limits={"budget_min": 1, "budget_max": 24576},
        source="https://ai.google.dev/gemini-api/docs/thinking#set-budget",
        date=_DATE,
    ),
    Trait(
        models=r"gemini-2\.5-flash-lite",
        limits={"budget_min": 512, "budget_max": 24576},
        source="https://ai.google.dev/gemini-api/docs/thinking#set-budget",
        date=_DATE,
    ),
    # `gemini-flash-latest` and similar names point to the newest generation
    Trait(
        models=r"gemini-([3-9]|\d\d)|gemini-.*-latest$",
        takes=words("thinking_levels budget media_in_results part_resolution signed_calls"),
        efforts=("low", "medium", "high"),
        source="https://ai.google.dev/gemini-api/docs/gemini-3",
        date=_DATE,
    ),
    # "minimal" is the Flash models' alone, and Gemini 3 Pro knows only low and high
    Trait(
        models=r"gemini-3(\.1)?-flash",
        efforts=("minimal", "low", "medium", "high"),
        source="https://ai.google.dev/gemini-api/docs/thinking#thinking-levels",
        date=_DATE,
    ),
    Trait(
        models=r"gemini-3-pro",
        efforts=("low", "high"),
        source="https://ai.google.dev/gemini-api/docs/thinking#thinking-levels",
        date=_DATE,
    ),
)

OTHERS: tuple[Trait, ...] = (
    # "GPT-OSS instead expects one of low, medium, or high to tune the trace length. Passing true/false is ignored for
    # that model."
    Trait(
        models=r"gpt-?oss",
        takes=words("thinking_levels"),
        efforts=("low", "medium", "high"),
        source="https://docs.ollama.com/capabilities/thinking",
        date=_DATE,
    ),
    # reasoning_effort: "none disables reasoning, default enables it" for these models
    Trait(
        provider="groq",
        models=r"qwen-?3",
        efforts=("none", "default"),
        source="https://console.groq.com/docs/reasoning",
        date=_DATE,
    ),
    # "thinking mode supports low, high and max"; a forced tool choice is a 400 while it thinks
    Trait(
        provider="deepseek",
        models=r"deepseek-v4",
        efforts=("low", "high", "max"),
        defaults={"effort": "high"},
        refuses_while_thinking=words("forced_tools"),
        source="https://api-docs.deepseek.com/guides/thinking_mode",
        date=_DATE,
    ),
    # "presencePenalty, frequencyPenalty and stop: Reasoning models do not support these parameters. Adding them in the
    # request would result in an error."
    Trait(
        provider="xai",
        models=r"grok-(3-mini|4)",
        refuses=words("penalties stop"),
        source="https://docs.x.ai/docs/guides/reasoning",
        date=_DATE,
    ),
    # "reasoning_effort is not supported by grok-4. Specifying it will return an error."
    Trait(
        provider="xai",
        models=r"grok-(4($|-0|-latest|-fast)|code)",
        efforts=(),
        source="https://docs.x.ai/docs/guides/reasoning",
        date=_DATE,
    ),
    Trait(
        provider="xai",
        models=r"grok-4\.3",
        efforts=("none", "low", "medium", "high"),
        source=f"{_PROFILES}/grok.py",
        date=_DATE,
    ),
    Trait(
        provider="xai",
        models=r"grok-4\.[56]",
        efforts=("low", "medium", "high"),
        source=f"{_PROFILES}/grok.py",
        date=_DATE,
    ),
    # `"thinking": {"type": "enabled"}`, and `disabled` turns it off
    Trait(
        models=r"^glm-(4\.[5-9]|5(\.[01])?(-|$))",
        refuses=words("effort"),
        renames={"thinking": "thinking.type"},
        source="https://docs.z.ai/guides/capabilities/thinking-mode",
        date=_DATE,
    ),
    Trait(
        models=r"^kimi-k2\.[5-9]",
        refuses=words("effort"),
        renames={"thinking": "thinking.type"},
        source="https://platform.moonshot.ai/docs/guide/kimi-k2-5-quickstart",
        date=_DATE,
    ),
    # "enable_thinking: whether to enable thinking mode"
    Trait(
        models=r"^(qwen3|qwen-(plus|flash|turbo))",
        refuses=words("effort"),
        renames={"thinking": "enable_thinking"},
        source="https://www.alibabacloud.com/help/en/model-studio/deep-thinking",
        date=_DATE,
    ),
    # `extra_body={"chat_template_kwargs": {"enable_thinking": False}}`; DeepSeek's templates call it `thinking`
    Trait(
        provider="vllm",
        models=r"qwen-?3|glm-4\.[5-9]|holo2",
        refuses=words("effort"),
        renames={"thinking": "chat_template_kwargs.enable_thinking"},
        source="https://docs.vllm.ai/en/latest/features/reasoning_outputs/",
        date=_DATE,
    ),
    Trait(
        provider="vllm",
        models=r"deepseek-v3\.[1-9]|granite-3\.2",
        refuses=words("effort"),
        renames={"thinking": "chat_template_kwargs.thinking"},
        source="https://docs.vllm.ai/en/latest/features/reasoning_outputs/",
        date=_DATE,
    ),
)

MODELS: tuple[Trait, ...] = (*REASONING, *CLAUDE, *GENERATIONS, *OTHERS)
"""All rows that match a name apply, in this order."""
