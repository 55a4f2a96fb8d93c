"""Reference of the keys of a backend."""

from __future__ import annotations

from .key_info import REQUIRED, KeyInfo

BACKENDS_KEYS: tuple[KeyInfo, ...] = (
    KeyInfo(
        path="backends",
        type="mapping",
        without=REQUIRED,
        example="{openai: {}, anthropic: {}}",
        meaning="The backends by name.",
    ),
    KeyInfo(
        path="backends.*.protocol",
        type="protocol",
        without="the provider's, else required",
        example="openai-chat",
        meaning="Wire protocol: `openai-chat`, `openai-responses`, `anthropic`, `gemini`, `ollama`, or `mlx` for a "
        "model in this process.",
    ),
    KeyInfo(
        path="backends.*.base_url",
        type="URL",
        without="the provider's, else required",
        example="https://api.openai.com/v1",
        meaning="Address that the protocol's official SDK takes.",
    ),
    KeyInfo(
        path="backends.*.provider",
        type="name",
        without="the backend's name",
        example="groq",
        meaning="A known provider, which supplies every key that is not given; for others the issuer of signatures.",
    ),
    KeyInfo(
        path="backends.*.api_key",
        type="secret, or a list of them",
        without="the provider's variable",
        example="${OPENAI_API_KEY:-}",
        meaning="The provider's key; of a list the next is used where one is refused.",
    ),
    KeyInfo(
        path="backends.*.models",
        type="mapping or list of names",
        default="{}",
        example="{fast: gpt-5-mini}",
        meaning="The client's names to the upstream's; a list for names that are the same on both sides.",
    ),
    KeyInfo(
        path="backends.*.default_model",
        type="name",
        without="the provider's, else the client's name",
        example="gpt-5-mini",
        meaning="Upstream model for any name that `models` does not list.",
    ),
    KeyInfo(
        path="backends.*.capabilities",
        type="auto, or a list",
        default="auto",
        example="[text, tools, vision]",
        meaning="What the backend can do; `auto` is the provider's list, else all that the protocol can express.",
    ),
    KeyInfo(
        path="backends.*.priority",
        type="integer",
        default="0",
        example="10",
        meaning="Order of backends where no rule decides: higher first, equal ones in the order of the file.",
    ),
    KeyInfo(
        path="backends.*.quirks",
        type="list of quirks",
        without="the provider's",
        example="[no_developer]",
        meaning="How this host deviates from its protocol; the quirks of each protocol are listed below.",
    ),
    KeyInfo(
        path="backends.*.traits",
        type="mapping of model patterns to traits",
        default="{}",
        example='{"llama*": {refuses: [penalties]}}',
        meaning="The same as the top-level `traits`, for this backend; they win over those.",
    ),
    KeyInfo(
        path="backends.*.limits",
        type="mapping of limit to number",
        default="{}",
        example="{stop: 4}",
        meaning="Bounds of this host that differ from its protocol's; the limits of each are listed below.",
    ),
    KeyInfo(
        path="backends.*.max_tokens",
        type="integer, at least 1",
        without="the protocol's own bound",
        example="8192",
        meaning="Bound of the answer's length where the protocol requires one and the client set none.",
    ),
    KeyInfo(
        path="backends.*.max_in_flight",
        type="integer, at least 1",
        without="no maximum",
        example="4",
        meaning="Number of requests under way at this backend beyond which others get them, or they are refused.",
    ),
    KeyInfo(
        path="backends.*.relay",
        type="auto or never",
        without="the top-level `relay`",
        example="never",
        meaning="The same for this backend.",
    ),
    KeyInfo(
        path="backends.*.strict",
        type="true or false",
        without="the top-level `strict`",
        example="true",
        meaning="The same for this backend.",
    ),
    KeyInfo(
        path="backends.*.headers",
        type="mapping of header to text",
        default="{}",
        example="{x-team: blue}",
        meaning="Headers of every request to this host.",
    ),
    KeyInfo(
        path="backends.*.folder",
        type="path",
        without="the bundled model",
        example="~/models/my-model",
        meaning="Folder of a local model (protocol `mlx` only).",
    ),
    KeyInfo(
        path="backends.*.betas",
        type="list of patterns",
        without="all",
        example='["context-1m-*"]',
        meaning="Flags of the header `anthropic-beta` that this host accepts; all others are left out.",
    ),
)
