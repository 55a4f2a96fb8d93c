"""The names in the spans of a trace: one table, with the page that defines each.

Those of OpenTelemetry's conventions for generative AI are as of v0.1.0, all of which have the status "Development".
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

GEN_AI = "https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md"
HTTP = "https://opentelemetry.io/docs/specs/semconv/http/http-spans/"
SERVER = "https://opentelemetry.io/docs/specs/semconv/registry/attributes/server/"
ERROR = "https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/"

Place: TypeAlias = Literal["request", "attempt", "decision", "loss"]
"""The span of a request or of an attempt, or the event of a decision or of a loss."""


class SpanName(Struct, frozen=True):
    """One attribute: where it stands, what it means, and the page that defines it; none for the proxy's own."""

    name: str
    places: tuple[Place, ...]
    meaning: str
    source: str = ""


REQUEST_ID = "crosswire.request.id"
FRONTEND = "crosswire.frontend"
OPERATION = "crosswire.operation"
CLIENT = "crosswire.client"
STREAM = "crosswire.stream"
ATTEMPTS = "crosswire.attempts"
OUTCOME = "crosswire.outcome"
BACKEND = "crosswire.backend"
PROTOCOL = "crosswire.protocol"
RELAYED = "crosswire.relayed"
COST = "crosswire.cost_usd"
MODE = "crosswire.decision.mode"
BECAUSE = "crosswire.decision.because"
CONSIDERED = "crosswire.decision.considered"
FEATURE = "crosswire.loss.feature"
PATH = "crosswire.loss.path"
HOW = "crosswire.loss.how"
STATUS_CODE = "http.response.status_code"
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_MODEL = "gen_ai.request.model"
GEN_AI_STREAM = "gen_ai.request.stream"
GEN_AI_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
GEN_AI_INPUT = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT = "gen_ai.usage.output_tokens"
GEN_AI_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
GEN_AI_REASONING = "gen_ai.usage.reasoning.output_tokens"

DECISION_EVENT = "crosswire.decision"
LOSS_EVENT = "crosswire.loss"

SPAN_NAMES: tuple[SpanName, ...] = (
    SpanName(GEN_AI_OPERATION, ("attempt",), "`chat` or `embeddings`, or the proxy's word for what else", GEN_AI),
    SpanName(GEN_AI_PROVIDER, ("attempt",), "the provider by its well-known name, else by the config's", GEN_AI),
    SpanName(GEN_AI_MODEL, ("attempt",), "the upstream's name of the model", GEN_AI),
    SpanName(GEN_AI_STREAM, ("attempt",), "true if it streams, else absent", GEN_AI),
    SpanName(GEN_AI_FIRST_CHUNK, ("attempt",), "seconds from the attempt's start to the first content", GEN_AI),
    SpanName(GEN_AI_INPUT, ("attempt",), "all input tokens, those of the provider's cache among them", GEN_AI),
    SpanName(GEN_AI_OUTPUT, ("attempt",), "output tokens", GEN_AI),
    SpanName(GEN_AI_CACHE_READ, ("attempt",), "input tokens read from the provider's cache", GEN_AI),
    SpanName(GEN_AI_CACHE_WRITE, ("attempt",), "input tokens written to the provider's cache", GEN_AI),
    SpanName(GEN_AI_REASONING, ("attempt",), "output tokens of reasoning", GEN_AI),
    SpanName(SERVER_ADDRESS, ("attempt",), "host of the backend's address", SERVER),
    SpanName(SERVER_PORT, ("attempt",), "port of the backend's address", SERVER),
    SpanName(STATUS_CODE, ("request",), "the status that the client got", HTTP),
    SpanName(ERROR_TYPE, ("request", "attempt"), "the kind of failure, or `aborted` where the client left", ERROR),
    SpanName(REQUEST_ID, ("request",), "the id of the request, for its record"),
    SpanName(FRONTEND, ("request",), "the client's protocol"),
    SpanName(OPERATION, ("request",), "what was asked: `chat`, `count`, `embeddings`, `compact` or `stored`"),
    SpanName(CLIENT, ("request",), "the client's name in the config or the store"),
    SpanName(STREAM, ("request",), "whether the client wants a stream"),
    SpanName(ATTEMPTS, ("request",), "number of attempts"),
    SpanName(OUTCOME, ("request", "attempt"), "`answered`, a kind of failure, or `aborted`"),
    SpanName(COST, ("request",), "the cost in dollars, where it is counted"),
    SpanName(BACKEND, ("request", "attempt", "decision"), "the backend's name in the config"),
    SpanName(PROTOCOL, ("attempt",), "the protocol that the backend was asked by"),
    SpanName(RELAYED, ("attempt",), "whether the client's bytes were passed on"),
    SpanName(MODE, ("decision",), "the kind of rule that decided"),
    SpanName(BECAUSE, ("decision",), "the rule, in words"),
    SpanName(CONSIDERED, ("decision",), "each backend with the reason why it was taken or not"),
    SpanName(FEATURE, ("loss",), "the word of the loss"),
    SpanName(PATH, ("loss",), "where in the request or the reply"),
    SpanName(HOW, ("loss",), "`dropped` or `approximated`"),
)
"""Every attribute of the spans and their events."""
