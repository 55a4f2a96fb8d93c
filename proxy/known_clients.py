"""Table of the client programs that are known: how each is pointed at the proxy, and what is done for it alone.

A new client is a new entry of CLIENTS. The module does no I/O. In its texts `{base}` is the proxy's address, `{host}`
the same without a scheme, `{model}` the model, and `{key}` the client's key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from msgspec import Struct

ANY_KEY = "any"
"""A key for clients that want one; a proxy without `clients` does not check it."""

KEY_VARIABLE = "CROSSWIRE_KEY"
"""The variable of the client's own key, for a proxy with `clients`."""


class ConfigFile(Struct, frozen=True, kw_only=True):
    """A config file that a client needs: its text, its usual place, and the variable that names its `folder` or itself.

    With `by_content` the variable holds the text itself, so that no file is needed.
    """

    text: str
    usual: str
    name: str
    variable: str | None = None
    by_content: bool = False


class Exemption(Struct, frozen=True, kw_only=True):
    """Something done otherwise for one client, known by its user agent: `why`, and the `source` where that is seen.

    `caches`: its prompts are cached at providers that cache only what they are told to. `ends_whole`: a stream that
    failed ends with the body's last chunk all the same, behind the error.
    """

    what: Literal["caches", "ends_whole"]
    why: str
    source: str


class Client(Struct, frozen=True, kw_only=True):
    """A client program, or an SDK without one.

    `variables` point it at the proxy; `model_variables` choose the model where one is asked for, and `arguments` and
    `model_arguments` are put behind the command's own name. `fixed_names` are patterns of the model names that it asks
    for by itself, whatever model was chosen. `example` is how it is called, `speaks` its protocol as people write it.
    `user_agents` are shell patterns of what it calls itself, of which no two clients have the same; `exemptions` are
    what is done for it alone.
    """

    name: str
    title: str
    command: str | None = None
    speaks: str
    variables: Mapping[str, str] = {}
    model_variables: Mapping[str, str] = {}
    arguments: tuple[str, ...] = ()
    model_arguments: tuple[str, ...] = ()
    file: ConfigFile | None = None
    needs_model: bool = False
    fixed_names: tuple[str, ...] = ()
    install: str
    example: str
    quirks: tuple[str, ...] = ()
    user_agents: tuple[str, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    tried: str = ""
    source: str

    def is_exempt(self, what: str) -> bool:
        """Returns whether this exemption is one of the client's."""
        return any(each.what == what for each in self.exemptions)


class Setup(Struct, frozen=True, kw_only=True):
    """A client as it is pointed at one proxy, for one model."""

    variables: Mapping[str, str]
    arguments: tuple[str, ...]
    aliases: Mapping[str, str]
    file_text: str | None = None


_OPENAI = {"OPENAI_BASE_URL": "{base}/v1", "OPENAI_API_KEY": "{key}"}
_ANTHROPIC = {"ANTHROPIC_BASE_URL": "{base}", "ANTHROPIC_AUTH_TOKEN": "{key}", "ANTHROPIC_API_KEY": ""}
_GEMINI = {"GOOGLE_GEMINI_BASE_URL": "{base}", "GEMINI_API_KEY": "{key}"}
_OLLAMA = {"OLLAMA_HOST": "{host}"}

EVERY_VARIABLE: Mapping[str, str] = {
    **_OPENAI,
    "OPENAI_API_BASE": "{base}/v1",
    **_ANTHROPIC,
    "ANTHROPIC_API_KEY": "{key}",
    **_GEMINI,
    **_OLLAMA,
}
"""The variables for a program that is not known: those that the official SDKs read."""

_REPEATS = "it sends its instructions and all tools with every turn"

CLIENTS: tuple[Client, ...] = (
    Client(
        name="claude-code",
        title="Claude Code",
        command="claude",
        speaks="Anthropic Messages",
        variables={**_ANTHROPIC, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
        model_variables=dict.fromkeys(
            (
                "ANTHROPIC_MODEL",
                "ANTHROPIC_DEFAULT_OPUS_MODEL",
                "ANTHROPIC_DEFAULT_SONNET_MODEL",
                "ANTHROPIC_DEFAULT_HAIKU_MODEL",
                "CLAUDE_CODE_SUBAGENT_MODEL",
            ),
            "{model}",
        ),
        fixed_names=("claude-*",),
        install="npm install -g @anthropic-ai/claude-code",
        example="claude -p 'Hello!'",
        quirks=(
            "asks for small `claude-*` models beside the chosen one, which an alias serves",
            "`ANTHROPIC_API_KEY` must be empty, for it comes before the token",
        ),
        tried="2.1.197",
        source="https://code.claude.com/docs/en/env-vars",
    ),
    Client(
        name="codex",
        title="Codex CLI",
        command="codex",
        speaks="OpenAI Responses",
        variables={"CROSSWIRE_KEY": "{key}"},
        arguments=(
            "-c",
            'model_provider="crosswire"',
            "-c",
            'model_providers.crosswire={name="Crosswire", base_url="{base}/v1", env_key="CROSSWIRE_KEY", '
            'wire_api="responses"}',
        ),
        model_arguments=("-c", 'model="{model}"'),
        file=ConfigFile(
            text='model = "{model}"\nmodel_provider = "crosswire"\n\n[model_providers.crosswire]\nname = "Crosswire"\n'
            'base_url = "{base}/v1"\nenv_key = "CROSSWIRE_KEY"\nwire_api = "responses"\n',
            usual="~/.codex/config.toml",
            name="config.toml",
            variable="CODEX_HOME",
        ),
        fixed_names=("gpt-*", "codex-*"),
        install="npm install -g @openai/codex",
        example="codex exec --skip-git-repo-check 'Hello!'",
        quirks=("connects by a WebSocket first where its provider says `supports_websockets = true`",),
        # The agent is the originator before a version; "Codex " begins that of the desktop's program:
        # https://github.com/openai/codex/blob/main/codex-rs/login/src/auth/default_client.rs
        user_agents=("codex_*", "codex-*", "Codex *"),
        exemptions=(
            Exemption(what="caches", why=_REPEATS, source="https://github.com/openai/codex"),
            # The error of `response.failed` is kept until the body ends, and thrown away where it ends by a fault. The
            # official SDKs hand the event out and raise nothing, so a loop over text deltas takes a half for the whole:
            # https://github.com/openai/openai-python/blob/main/src/openai/_streaming.py
            Exemption(
                what="ends_whole",
                why="of a body without its last chunk it forgets the error that it read, and asks again, five times; "
                "of a whole one it knows a full context, a refused prompt and an overload, and asks again only for "
                "what may pass. Other clients of the protocol would take the half of an answer for the whole",
                source="https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/sse/responses.rs",
            ),
        ),
        tried="0.171.0",
        source="https://developers.openai.com/codex/config-reference",
    ),
    Client(
        name="gemini-cli",
        title="Gemini CLI",
        command="gemini",
        speaks="Gemini",
        variables=_GEMINI,
        model_variables={"GEMINI_MODEL": "{model}"},
        fixed_names=("gemini-*",),
        install="npm install -g @google/gemini-cli",
        example="gemini -p 'Hello!'",
        quirks=(
            "asks for small `gemini-*` models beside the chosen one, which an alias serves",
            "0.61 says *Invalid auth method selected* without a terminal, unless `~/.gemini/settings.json` has "
            '`{"security": {"auth": {"selectedType": "gemini-api-key"}}}`',
        ),
        user_agents=("GeminiCLI-*", "GeminiCLI/*"),
        exemptions=(
            Exemption(what="caches", why=_REPEATS, source="https://github.com/google-gemini/gemini-cli"),
            Exemption(
                what="ends_whole",
                why="of a body without its last chunk it shows [object Object] and exits; of a whole one it misses the "
                "finish reason and asks again, three times. Other clients of the protocol would take the half of an "
                "answer for the whole",
                source="https://github.com/google-gemini/gemini-cli/blob/main/packages/core/src/core/geminiChat.ts",
            ),
        ),
        tried="0.61.0",
        source="https://github.com/google-gemini/gemini-cli/blob/main/docs/reference/configuration.md",
    ),
    Client(
        name="opencode",
        title="opencode",
        command="opencode",
        speaks="OpenAI Chat Completions",
        file=ConfigFile(
            text='{"$schema": "https://opencode.ai/config.json", "model": "crosswire/{model}", '
            '"small_model": "crosswire/{model}", "provider": {"crosswire": {"npm": "@ai-sdk/openai-compatible", '
            '"name": "Crosswire", "options": {"baseURL": "{base}/v1", "apiKey": "{key}"}, '
            '"models": {"{model}": {}}}}}\n',
            usual="~/.config/opencode/opencode.json",
            name="opencode.json",
            variable="OPENCODE_CONFIG_CONTENT",
            by_content=True,
        ),
        needs_model=True,
        install="npm install -g opencode-ai",
        example="opencode run 'Hello!'",
        user_agents=("opencode/*",),
        exemptions=(Exemption(what="caches", why=_REPEATS, source="https://github.com/sst/opencode"),),
        tried="1.18.33",
        source="https://opencode.ai/docs/providers/#custom-provider",
    ),
    Client(
        name="qwen-code",
        title="Qwen Code",
        command="qwen",
        speaks="OpenAI Chat Completions",
        variables=_OPENAI,
        model_variables={"OPENAI_MODEL": "{model}"},
        arguments=("--auth-type", "openai"),
        install="npm install -g @qwen-code/qwen-code",
        example="qwen -p 'Hello!'",
        user_agents=("QwenCode/*",),
        exemptions=(Exemption(what="caches", why=_REPEATS, source="https://github.com/QwenLM/qwen-code"),),
        tried="0.15.10",
        source="https://qwenlm.github.io/qwen-code-docs/en/users/configuration/settings/",
    ),
    Client(
        name="cline",
        title="Cline CLI",
        command="cline",
        speaks="OpenAI Chat Completions",
        needs_model=True,
        install="npm install -g cline",
        example="cline auth --provider openai --apikey {key} --baseurl {base}/v1 --modelid {model}",
        quirks=("keeps its address in its own state: the command of the example sets it once",),
        tried="3.0.65",
        source="https://docs.cline.bot/cline-cli/cli-reference",
    ),
    Client(
        name="aider",
        title="aider",
        command="aider",
        speaks="OpenAI Chat Completions",
        variables={"OPENAI_API_BASE": "{base}/v1", "OPENAI_API_KEY": "{key}"},
        model_variables={"AIDER_MODEL": "openai/{model}"},
        install="pip install aider-chat",
        example="aider --message 'Hello!'",
        quirks=("`openai/` before the name says which protocol it speaks, and goes no further",),
        tried="0.86.2",
        source="https://aider.chat/docs/llms/openai-compat.html",
    ),
    Client(
        name="llm",
        title="llm",
        command="llm",
        speaks="OpenAI Chat Completions",
        variables={"OPENAI_API_KEY": "{key}"},
        file=ConfigFile(
            # A model of the file has no key, no tools, no schemas and no pictures unless the file says so. Of this name
            # there is no key in its store, so that of the environment is sent:
            # https://github.com/simonw/llm/blob/main/llm/default_plugins/openai_models.py
            text="- model_id: {model}\n  model_name: {model}\n  api_base: {base}/v1\n  api_key_name: crosswire\n"
            "  supports_tools: true\n  supports_schema: true\n  vision: true\n",
            usual="~/.config/io.datasette.llm/extra-openai-models.yaml",
            name="extra-openai-models.yaml",
            variable="LLM_USER_PATH",
        ),
        model_variables={"LLM_MODEL": "{model}"},
        needs_model=True,
        install="pip install llm",
        example="llm 'Hello!'",
        tried="0.36",
        source="https://llm.datasette.io/en/stable/other-models.html#openai-compatible-models",
    ),
    Client(
        name="gptme",
        title="gptme",
        command="gptme",
        speaks="OpenAI Chat Completions",
        variables=_OPENAI,
        model_variables={"MODEL": "local/{model}"},
        install="pip install gptme",
        example="gptme --non-interactive 'Hello!'",
        quirks=("its provider `local` is whatever `OPENAI_BASE_URL` names",),
        tried="0.35.1",
        source="https://gptme.org/docs/providers.html#local",
    ),
    Client(
        name="mistral-vibe",
        title="Mistral Vibe",
        command="vibe",
        speaks="OpenAI Chat Completions",
        variables={"CROSSWIRE_KEY": "{key}"},
        file=ConfigFile(
            text='active_model = "{model}"\n\n[[providers]]\nname = "crosswire"\napi_base = "{base}/v1"\n'
            'api_key_env_var = "CROSSWIRE_KEY"\napi_style = "openai"\nbackend = "generic"\n\n[[models]]\n'
            'name = "{model}"\nprovider = "crosswire"\nalias = "{model}"\n',
            usual="~/.vibe/config.toml",
            name="config.toml",
            variable="VIBE_HOME",
        ),
        needs_model=True,
        install="pip install mistral-vibe",
        example="vibe -p 'Hello!'",
        source="https://github.com/mistralai/mistral-vibe#configuration",
    ),
    Client(
        name="pi",
        title="pi",
        command="pi",
        speaks="OpenAI Chat Completions",
        file=ConfigFile(
            text='{"providers": {"crosswire": {"baseUrl": "{base}/v1", "api": "openai-completions", "apiKey": "{key}", '
            '"models": [{"id": "{model}"}]}}}\n',
            usual="~/.pi/agent/models.json",
            name="models.json",
            variable="PI_CODING_AGENT_DIR",
        ),
        model_arguments=("--provider", "crosswire", "--model", "{model}"),
        needs_model=True,
        install="npm install -g @mariozechner/pi-coding-agent",
        example="pi -p 'Hello!'",
        quirks=("its `api` may be `anthropic-messages`, `openai-responses` or `google-generative-ai` as well",),
        tried="0.73.1",
        source="https://github.com/badlogic/pi-mono/tree/main/packages/coding-agent",
    ),
    Client(
        name="ollama",
        title="Ollama's command line",
        command="ollama",
        speaks="Ollama",
        variables=_OLLAMA,
        install="https://ollama.com/download",
        example="ollama run {model}",
        quirks=("pulls nothing: a model that is served counts as one that is there",),
        source="https://docs.ollama.com/faq",
    ),
    Client(
        name="openai-sdk",
        title="openai (Python, JavaScript)",
        speaks="OpenAI Chat Completions and Responses",
        variables=_OPENAI,
        install="pip install openai",
        example='OpenAI(base_url="{base}/v1", api_key="{key}")',
        source="https://github.com/openai/openai-python#usage",
    ),
    Client(
        name="anthropic-sdk",
        title="anthropic (Python, TypeScript)",
        speaks="Anthropic Messages",
        variables={"ANTHROPIC_BASE_URL": "{base}", "ANTHROPIC_API_KEY": "{key}"},
        install="pip install anthropic",
        example='Anthropic(base_url="{base}", api_key="{key}")',
        source="https://github.com/anthropics/anthropic-sdk-python#usage",
    ),
    Client(
        name="google-genai",
        title="google-genai",
        speaks="Gemini",
        variables=_GEMINI,
        install="pip install google-genai",
        example='genai.Client(api_key="{key}", http_options={"base_url": "{base}"})',
        source="https://googleapis.github.io/python-genai/",
    ),
    Client(
        name="ollama-sdk",
        title="ollama (Python, JavaScript)",
        speaks="Ollama",
        variables=_OLLAMA,
        install="pip install ollama",
        example='ollama.Client(host="{base}")',
        source="https://github.com/ollama/ollama-python",
    ),
)


def find_client(name: str) -> Client | None:
    """Returns the client with this name or command, as a path or with the ending of an executable too."""
    word = name.replace("\\", "/").rpartition("/")[2].lower()
    word = word.removesuffix(".exe").removesuffix(".cmd")
    return next((client for client in CLIENTS if word in (client.name, client.command)), None)


@lru_cache(1024)
def client_of(user_agent: str) -> Client | None:
    """Returns the client with this user agent, None where it is none of the table."""
    if not user_agent or len(user_agent) > 500:
        return None
    return next(
        (client for client in CLIENTS if any(fnmatchcase(user_agent, pattern) for pattern in client.user_agents)), None
    )


def fill(text: str, base: str, model: str, key: str = "") -> str:
    """Returns a text of the table with the proxy's address, the model and the key; other braces stay as they are."""
    host = base.partition("://")[2]
    for name, value in (("base", base), ("host", host), ("model", model), ("key", key or ANY_KEY)):
        text = text.replace(f"{{{name}}}", value)
    return text


def setup_of(client: Client, base: str, model: str | None, folder: str | None = None, key: str = "") -> Setup:
    """Returns how the client is pointed at this proxy; `folder` is where its config file lies, if it needs one.

    `key` is the client's own; without one it is any.
    """
    chosen = model or ""
    variables = {**client.variables, **(client.model_variables if model else {})}
    arguments = (*client.arguments, *(client.model_arguments if model else ()))
    filled = {name: fill(text, base, chosen, key) for name, text in variables.items()}
    text = None
    if client.file is not None and model:
        text = fill(client.file.text, base, chosen, key)
        if client.file.by_content and client.file.variable:
            filled[client.file.variable] = text.strip()
        elif folder is not None and client.file.variable and not client.arguments:
            filled[client.file.variable] = folder
    return Setup(
        variables=filled,
        arguments=tuple(fill(argument, base, chosen, key) for argument in arguments),
        aliases=aliases_for(client.fixed_names, model),
        file_text=text,
    )


def aliases_for(names: Iterable[str], model: str | None) -> dict[str, str]:
    """Returns the aliases by which the names that a client asks for by itself stand for the model that was chosen."""
    return dict.fromkeys(names, model) if model else {}
