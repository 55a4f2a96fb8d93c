"""Interface of a wire protocol on the server side: the record of functions of each protocol, and their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from ..framing import SSE
from ..scenarios.model import ResponseFormat, Tool, ToolChoice, Turn
from ..scenarios.provider import Provider
from .reply_context import Failure, RenderedReply, ReplyContext
from .rule import Asked, Refusal, Rule, first_refusal


class MalformedRequest(Exception):
    """A request body has the wrong shape; `path` is the place, `reason` the expected and the found value."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ParsedRequest(Struct, frozen=True, kw_only=True):
    """A request in protocol-neutral form.

    `system` holds the leading system messages; later ones keep their place in `turns`. Tool results are in user turns,
    in wire order. `validates` says that all calls must fit their schemas, which a tool's own `strict` says of one tool;
    `implied` is what another choice brings with it. `reasoning` is an effort, a token budget or a switch,
    `show_reasoning` requests that reasoning be returned, `user` is the id of the end user. `logprobs` asks for log
    probabilities, and says of how many likely tokens beside the chosen one. `sampling` holds the fields of `SAMPLING`
    that are set. `extra` maps the path of every field without a neutral counterpart to its value.
    """

    model: str | None = None
    stream: bool = False
    system: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    validates: Literal["asked", "implied"] | None = None
    parallel: bool | None = None
    sampling: dict[str, float | int] = {}
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: str | int | bool | None = None
    show_reasoning: bool | None = None
    user: str | None = None
    logprobs: int | None = None
    format: ResponseFormat | None = None
    extra: dict[str, Any] = {}


def parse_data_url(url: str) -> tuple[str | None, str | None, str | None]:
    """Returns (mime, base64 data, None) for a data URL and (None, None, url) for any other."""
    if not url.startswith("data:"):
        return None, None, url
    head, _, data = url.removeprefix("data:").partition(",")
    return head.removesuffix(";base64") or None, data, None


class MockProtocol(Struct, frozen=True, kw_only=True):
    """One wire protocol on the server side.

    - `parse_request(path, headers, body)`: returns the request in neutral form; raises only `MalformedRequest`.
    - `rules`: the reasons for which the real provider refuses a request, in the order of its checks.
    - `render_reply(context)`: returns a reply as this provider writes it.
    - `render_error(failure, provider)`: returns an error sent before any content.
    - `endpoint_of(method, path)`: returns `generate`, `models`, `count`, or None for an unknown path.
    - `list_models(provider)`: returns the body of the model list.
    - `count_tokens(body)`: returns the body of a token count; None if the protocol has no such endpoint.
    - `framing`: the framing of its streams, one of the constants of `framing`.
    """

    name: str
    parse_request: Callable[[str, Mapping[str, str], Any], ParsedRequest]
    rules: tuple[Rule, ...]
    render_reply: Callable[[ReplyContext], RenderedReply]
    render_error: Callable[[Failure, Provider], RenderedReply]
    endpoint_of: Callable[[str, str], str | None]
    list_models: Callable[[Provider], dict[str, Any]]
    count_tokens: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    framing: str = SSE

    def refusal(self, path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Refusal | None:
        """Returns the first rule that a request breaks, and the error; never raises."""
        endpoint = self.endpoint_of("POST", path) or self.endpoint_of("GET", path) or "generate"
        lower = {name.lower(): value for name, value in headers.items()}
        asked = Asked(path=path, headers=lower, body=body, provider=provider, endpoint=endpoint)
        return first_refusal(self.rules, asked)

    def validate_request(self, path: str, headers: Mapping[str, str], body: Any, provider: Provider) -> Failure | None:
        """Returns the error with which the real provider would refuse a request, or None; never raises."""
        found = self.refusal(path, headers, body, provider)
        return None if found is None else found.failure
