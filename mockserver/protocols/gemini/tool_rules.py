"""Rules of the Gemini API about function declarations, the function calling config, calls, responses, signatures."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from ..reply_context import is_foreign_signature
from ..rule import TODAY, Asked, Breach, Rule
from .asked_body import camel_case_keys, declarations, model_of, native_tools, tool_config, turns
from .model_traits import family_of
from .reply_writer import requires_signatures
from .tables import PLACEHOLDER_SIGNATURES, TOOL_NAME

DECLARATION = "https://ai.google.dev/api/caching#FunctionDeclaration"
CALLING_CONFIG = "https://ai.google.dev/api/caching#FunctionCallingConfig"
MULTI_TURN = "https://ai.google.dev/gemini-api/docs/function-calling#multi-turn-example-1"
SIGNATURES = "https://ai.google.dev/gemini-api/docs/thought-signatures"

MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED", "0", "1", "2", "3", "4")
"""Modes and their enum numbers. https://ai.google.dev/api/caching#Mode"""


def _name_pattern(asked: Asked) -> Iterator[Breach]:
    for where, declaration in declarations(asked):
        if re.fullmatch(TOOL_NAME, declaration.get("name", "")) is None:
            yield {"where": where}


def _name_twice(asked: Asked) -> Iterator[Breach]:
    names = [declaration.get("name", "") for _, declaration in declarations(asked)]
    for at, name in enumerate(names):
        if name in names[:at]:
            yield {"name": name}


def _both_parameters(asked: Asked) -> Iterator[Breach]:
    for where, declaration in declarations(asked):
        if "parameters" in declaration and "parametersJsonSchema" in declaration:
            yield {"where": where}


def _parameters_type(asked: Asked) -> Iterator[Breach]:
    for where, declaration in declarations(asked):
        for key in ("parameters", "parametersJsonSchema"):
            kind = camel_case_keys(declaration.get(key)).get("type")
            if isinstance(kind, str) and kind.upper() != "OBJECT":
                yield {"where": where}


def _calling(asked: Asked) -> dict[str, Any]:
    return camel_case_keys(tool_config(asked).get("functionCallingConfig"))


def _config_without_functions(asked: Asked) -> Iterator[Breach]:
    family = family_of(model_of(asked))
    # From Gemini 3 on the config is tolerated beside native tools.
    tolerated = native_tools(asked) and (family is None or family.combines)
    if _calling(asked) and not declarations(asked) and not tolerated:
        yield {}


def _mode(asked: Asked) -> str:
    return str(_calling(asked).get("mode", "AUTO")).upper()


def _mode_unknown(asked: Asked) -> Iterator[Breach]:
    if _mode(asked) not in MODES:
        yield {"mode": _calling(asked)["mode"]}


def _allowed(asked: Asked) -> list[Any]:
    allowed = _calling(asked).get("allowedFunctionNames", [])
    return allowed if isinstance(allowed, list) else [allowed]


def _allowed_without_any(asked: Asked) -> Iterator[Breach]:
    if _allowed(asked) and _mode(asked) not in ("ANY", "VALIDATED", "2", "4"):
        yield {}


def _allowed_unknown(asked: Asked) -> Iterator[Breach]:
    names = [declaration.get("name", "") for _, declaration in declarations(asked)]
    for name in _allowed(asked):
        if name not in names:
            yield {"name": name}


def _calls_and_responses(asked: Asked) -> Iterator[tuple[int, int, int, int]]:
    """Yields the turn's index, its calls and responses, and the calls of the turn before; at the end another turn."""
    before = 0
    for at, (role, parts) in enumerate(turns(asked)):
        calls = sum("functionCall" in part for part in parts) if role == "model" else 0
        yield at, calls, sum("functionResponse" in part for part in parts), before
        before = calls
    yield len(turns(asked)), 0, 0, before


def _response_of_no_call(asked: Asked) -> Iterator[Breach]:
    for _, _, responses, before in _calls_and_responses(asked):
        if responses and not before:
            yield {}


def _responses_unequal(asked: Asked) -> Iterator[Breach]:
    for _, _, responses, before in _calls_and_responses(asked):
        if before and responses != before:
            yield {}


def _call_first(asked: Asked) -> Iterator[Breach]:
    for at, calls, _, _ in _calls_and_responses(asked):
        if calls and at == 0:
            yield {}


def _signature_foreign(asked: Asked) -> Iterator[Breach]:
    for _, parts in turns(asked):
        for part in parts:
            signature = part.get("thoughtSignature")
            if signature is None or signature in PLACEHOLDER_SIGNATURES:
                continue
            text = _decode_signature(signature)
            # the field is of type bytes, so SDKs write the placeholder in base64
            # https://ai.google.dev/api/caching#Part
            if text not in PLACEHOLDER_SIGNATURES and is_foreign_signature(text, asked.provider):
                yield {}


def _decode_signature(signature: str) -> str:
    """Returns the decoded signature as text, empty if it is not base64."""
    try:
        standard = signature.replace("-", "+").replace("_", "/")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _signature_missing(asked: Asked) -> Iterator[Breach]:
    if not requires_signatures(model_of(asked), asked.provider):
        return
    # "The API walks back in the history (newest to oldest) to find the most recent User message that contains standard
    # content (e.g., text) …" (same page)
    found = turns(asked)
    starts = [
        at
        for at, (role, parts) in enumerate(found)
        if role != "model" and any("functionResponse" not in part for part in parts)
    ]
    for at, (role, parts) in enumerate(found):
        first = next((part for part in parts if "functionCall" in part), None)
        if role == "model" and first is not None and at > max(starts, default=-1) and not first.get("thoughtSignature"):
            yield {"name": camel_case_keys(first["functionCall"]).get("name"), "position": at + 1}


RULES: tuple[Rule, ...] = (
    Rule(
        id="tool-name",
        says="name: … Must be a-z, A-Z, 0-9, or contain underscores, colons, dots, and dashes, with a maximum length "
        "of "
        "64.",
        source=DECLARATION,
        check=_name_pattern,
        message="The GenerateContentRequest proto is invalid:\n  * {where}.name: [FIELD_INVALID] Invalid function "
        "name. "
        "Must start with a letter or an underscore. Must be a-z, A-Z, 0-9, or contain underscores (_), dots (.), "
        "colons "
        "(:), or dashes (-), with a maximum length of 64.",
    ),
    Rule(
        id="tool-names-twice",
        says="Each declaration has a name of its own.",
        source=DECLARATION,
        check=_name_twice,
        message="Duplicate function declaration found: {name}",
    ),
    Rule(
        id="parameters-two",
        says="parametersJsonSchema: This field is mutually exclusive with parameters.",
        source=DECLARATION,
        check=_both_parameters,
        message="* GenerateContentRequest.{where}: only one of parameters and parameters_json_schema may be set.\n",
        own_words=True,
    ),
    Rule(
        id="parameters-type",
        says="parameters schema should be of type OBJECT",
        source=DECLARATION,
        check=_parameters_type,
        message="* GenerateContentRequest.{where}.parameters: parameters schema should be of type OBJECT\n",
    ),
    Rule(
        id="config-without-functions",
        says="Gemini 2.5 and earlier: 400. Gemini 3+: no 400 beside native tools.",
        source="https://github.com/pydantic/pydantic-ai/pull/5791",
        checked=TODAY,
        check=_config_without_functions,
        message="Function calling config is set without function_declarations.",
    ),
    Rule(
        id="mode-unknown",
        says="MODE_UNSPECIFIED, AUTO, ANY, NONE and VALIDATED are the modes.",
        source="https://ai.google.dev/api/caching#Mode",
        check=_mode_unknown,
        message="Invalid value at 'tool_config.function_calling_config.mode' (type.googleapis.com/"
        'google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), "{mode}"',
    ),
    Rule(
        id="allowed-without-any",
        says="allowedFunctionNames: … This should only be set when the Mode is ANY or VALIDATED.",
        source=CALLING_CONFIG,
        check=_allowed_without_any,
        message="Allowed function names should only be set when function calling mode is ANY or VALIDATED.",
    ),
    Rule(
        id="allowed-unknown",
        says="Function names should match FunctionDeclaration.name.",
        source=CALLING_CONFIG,
        check=_allowed_unknown,
        message="Allowed function name {name} is not among the function declarations.",
        own_words=True,
    ),
    Rule(
        id="responses-unequal",
        says="Every call of a turn is answered in the next turn.",
        source=MULTI_TURN,
        check=_responses_unequal,
        message="Please ensure that the number of function response parts is equal to the number of function call "
        "parts "
        "of the function call turn.",
    ),
    Rule(
        id="response-of-no-call",
        says="A turn of responses follows the turn of its calls.",
        source=MULTI_TURN,
        check=_response_of_no_call,
        message="Please ensure that function response turn comes immediately after a function call turn.",
    ),
    Rule(
        id="call-first",
        says="A turn of calls follows a turn of the user or of responses.",
        source=MULTI_TURN,
        check=_call_first,
        message="Please ensure that function call turn comes immediately after a user turn or after a function "
        "response "
        "turn.",
    ),
    Rule(
        id="signature-foreign",
        says="Thought signatures are returned exactly as they were received.",
        source=SIGNATURES,
        check=_signature_foreign,
        message="Corrupted thought signature.",
    ),
    Rule(
        id="signature-missing",
        says="The first functionCall part in each step of the current turn must include its thought_signature",
        source=SIGNATURES,
        check=_signature_missing,
        message="Function call is missing a thought_signature in functionCall parts. This is required for tools to "
        "work "
        "correctly, and missing thought_signature may lead to degraded model performance. Additional data, function "
        "call "
        "`default_api:{name}` , position {position}. Please refer to "
        "https://ai.google.dev/gemini-api/docs/thought-signatures for more details.",
    ),
)
"""Rules about tools, in the order in which the service checks them."""
