"""Judges one exchange: each thing that is not right is a finding, by a vendor's rule or by one of this house."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest, ParsedRequest
from crosswire.mockserver.protocols.rule import Asked, first_refusal
from crosswire.mockserver.protocols.rule import Rule as ProviderRule
from crosswire.mockserver.scenarios.model import coarse_kind
from crosswire.mockserver.scenarios.provider import Provider

from ..checks.capabilities import must_refuse
from ..checks.case import CLIENT_KEY, Case
from ..checks.errors import check_error, expected_error
from ..checks.exchange import INVALID_ARGUMENTS, check_exchange
from ..checks.headers import check_feature_headers
from ..checks.losses import implied_losses, path_pattern
from ..checks.tool_names import ToolMatches, match_tools
from ..client.protocol import HttpRequest, ParsedReply
from ..comparison import WRONG, Difference, added_fields, reply_differences, request_differences
from ..comparison.request import takes_no_stops
from ..matrix.result import Direction, Result, Step, path_below_base
from .allowances import (
    NO_PLACE,
    RequestWays,
    echoed_places,
    is_free_in_reply,
    is_free_shape,
    lacks_only_its_last_event,
    left_out,
)
from .profile import Profile
from .rule import PROTOCOL_SOURCES, RULES
from .verdict import Finding, Outcome, Verdict

BLAME: dict[str, str] = {
    "bad_request": "the request",
    "too_large": "the request",
    "rate_limit": "the rate",
    "internal": "the server",
    "overloaded": "the server",
    "timeout": "the server",
}
"""Kind of an error -> who is to blame, by which a client acts; kinds about the gateway's own key have none."""

BODY_SHOWN = 80
"""Characters of a body that a finding shows where the body is no error of the protocol."""

CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key")
"""Headers that carry credentials: those of the client are none of the provider."""

NEEDLESS_RENAME = "could be offered as"
"""Part of the complaint about a tool's name that was changed though the protocol allows it."""


class Judged(Struct, frozen=True):
    """One exchange and where its findings go.

    `own_path` is the path of the client's protocol, whatever the gateway's; `asked` is the provider that the request
    names, `met` the one that it reached.
    """

    case: Case
    request: HttpRequest
    own_path: str
    step: Step
    profile: Profile
    verdict: Verdict
    result: Result
    house: bool
    asked: Provider
    met: Provider

    def find(
        self,
        outcome: Outcome,
        rule: str,
        what: str,
        *,
        says: str = "",
        source: str = "",
        difference: Difference | None = None,
    ) -> None:
        """Adds a finding; one by a rule of the house only where these count."""
        found = RULES[rule]
        if found.by == "house" and not self.house:
            return
        feature, path = ("", "") if difference is None else (difference.feature, path_pattern(difference.path))
        self.verdict.add(
            Finding(
                *(outcome, rule, found.by, what, says or found.says),
                *(source or found.source or self._story_source(), self.case.step_index, feature, path),
            )
        )

    def _story_source(self) -> str:
        """Returns where a vendor documents what the story is about: by default the client's protocol."""
        source = self.case.story.source
        return source if source.startswith("https://") else PROTOCOL_SOURCES.get(self.case.client.name, "")


def judge_exchange(judged: Judged) -> bool:
    """Judges an exchange; returns whether the conversation can go on."""
    case, step = judged.case, judged.step
    if judged.house and judged.profile.record:
        _judge_by_the_suite(judged)
    if not step.entries:
        _judge_refusal(judged)
        return False
    entry = step.entries[-1]
    if entry["provider"] != judged.asked.name:
        judged.find(
            "rerouted", "model", f"the request names a model of {judged.asked.name}, {entry['provider']} got it"
        )
        return False
    note = entry["note"] or ""
    if entry["status"] >= 400 and note:
        _judge_rejection(judged, note)
        return False
    if entry["story"] != case.story.name or entry["step"] not in (case.step_index, None):
        judged.find("wrong", "content", f"the provider did not get the conversation: {note or entry['story']}")
        return False
    ended_well = [each for each in step.entries[:-1] if each["status"] < 400 and each["done"] == "sent"]
    if ended_well and expected_error(case) is None:
        judged.find("wrong", "once", f"{len(step.entries)} requests reached the provider")
    sent, received = _parsed(judged)
    if received is None or sent is None:
        return False
    _judge_model(judged, received)
    matches = match_tools(sent, received)
    names_origin = case.same_protocol or bool(judged.profile.record)
    origin = case.provider.name if names_origin else None
    of_request = request_differences(sent, case.client, received, case.upstream, origin)
    told = _told(step, judged.profile)
    echoes = echoed_places(judged.request.body, (one.reply for one in judged.result.steps[: case.step_index]))
    ways = RequestWays(sent, received, case.client, case.upstream, echoes)
    for difference in of_request:
        _judge_difference(judged, "request", difference, told, is_free=ways.is_free(difference))
    upstream_reply = _upstream_reply(judged, received)
    if case.unreportable and step.reply.error is not None and upstream_reply.error is None:
        judged.find("refused", "limit", _received_error(judged))
        return False
    _judge_reply(judged, upstream_reply, sent, matches, origin, told)
    if judged.house:
        _judge_by_the_house(judged, sent, received, of_request, upstream_reply)
    return step.reply.error is None


# ---- no answer of the provider ---------------------------------------------------------------------------------------


def _error_text(reply: ParsedReply, body: str = "") -> str:
    """Returns an error as text; with the beginning of its body where that is not in the protocol's form."""
    error = reply.error
    if error is None:
        return ""
    of_the_protocol = isinstance(error.native, dict) or error.kind == "cut"
    message = error.message if of_the_protocol else " ".join(body.split())[:BODY_SHOWN] or "(an empty body)"
    return f"{error.status} {error.kind}: {message}"


def _received_error(judged: Judged) -> str:
    return _error_text(judged.step.reply, judged.step.transcript.client_response)


def _judge_refusal(judged: Judged) -> None:
    """Judges an answer that the gateway made alone: an error that the story expects, a limit of the target, or not."""
    case, reply = judged.case, judged.step.reply
    if reply.error is None:
        judged.find("wrong", "content", "an answer came although no request reached the provider")
        return
    wanted = case.exchange.hear.error
    if wanted is not None and wanted.kind is not None and coarse_kind(wanted.kind) == reply.error.kind:
        return
    if _is_the_clients_mistake(judged):
        return
    limits = must_refuse(case.provider, case.story, case.matrix) | set(case.unreportable)
    side = case.upstream_side
    reasons = [side.refuses[feature] for feature in sorted(limits) if feature in side.refuses]
    if limits:
        says, source = (reasons[0].rule, reasons[0].url) if reasons else ("", "")
        judged.find("refused", "limit", _received_error(judged), says=says, source=source)
    elif (lost := _implied(judged)) and _is_told(judged):
        # who refuses what the target cannot take has told the client, as who leaves it out and says so
        allowance = next((side.losses[feature][0] for feature in sorted(lost) if feature in side.losses), None)
        says, source = (allowance.rule, allowance.url) if allowance else ("", "")
        judged.find("refused", "limit", _received_error(judged), says=says, source=source)
    else:
        judged.find("refused", "refusal", _received_error(judged))


def _implied(judged: Judged) -> set[str]:
    """Returns the features of the request that the target has no place for, by the rules of its vendor."""
    case = judged.case
    features = {lost.feature for lost in implied_losses(judged.result, case, "request")}
    model = case.provider.models.get(case.model, case.model)
    return features | ({"stop"} if case.expected.stop and takes_no_stops(case.upstream, model) else set())


def _judge_rejection(judged: Judged, note: str) -> None:
    """Judges a request that the provider refused, with the rule by which it did."""
    refused = MOCK_PROTOCOLS[judged.met.protocol].refusal(
        path_below_base(judged.step.entries[-1], judged.met),
        judged.step.entries[-1]["headers"],
        judged.step.entries[-1]["body"],
        judged.met,
    )
    if refused is not None and _is_the_clients_mistake(judged):
        return  # the client asked for what its protocol or this model refuses, and is told so
    if refused is not None:
        rule: ProviderRule = refused.rule
        named = refused.failure.param or refused.failure.message.partition(":")[0]
        if any(word in named for word in _words(_implied(judged))) and _is_told(judged):
            # the model has no place for what the client asks, and the client is told so in the provider's words
            judged.find("refused", "limit", refused.failure.message, says=rule.says, source=rule.source)
        else:
            judged.find("rejected", "provider", refused.failure.message, says=rule.says, source=rule.source)
    elif note.startswith("malformed") or note.startswith("not JSON"):
        judged.find("rejected", "provider", note, source=PROTOCOL_SOURCES.get(judged.met.protocol, ""))
    else:
        judged.find("wrong", "content", f"the provider did not get the conversation: {note}")


def _words(features: set[str]) -> set[str]:
    """Returns the words by which errors name these features."""
    return {"_penalty" if feature == "penalties" else feature for feature in features}


def _is_told(judged: Judged) -> bool:
    """Returns whether the client was told that its request cannot be served as it is."""
    error = judged.step.reply.error
    return error is not None and BLAME.get(error.kind) == "the request"


def _is_the_clients_mistake(judged: Judged) -> bool:
    """Returns whether the owner of its protocol, or the provider in it, refuses the client's request; and it was told.

    The stories ask in every protocol for the same, be it a name or an id that only others take.
    """
    case = judged.case
    if not _is_told(judged):
        return False
    protocol, body = MOCK_PROTOCOLS[case.client.name], judged.request.body
    if case.same_protocol and "model" in body:
        body = {**body, "model": case.provider.models.get(case.model, case.model)}
    # who may call, and whom, is the gateway's matter
    rules = tuple(rule for rule in protocol.rules if rule.kind == "bad_request")
    owner = Provider(name=case.client.name, protocol=case.client.name, auth=case.provider.auth)
    endpoint = protocol.endpoint_of("POST", judged.own_path) or "generate"
    headers = {name.lower(): value for name, value in judged.request.headers.items()}
    return any(
        first_refusal(rules, Asked(path=judged.own_path, headers=headers, body=body, provider=one, endpoint=endpoint))
        for one in ((judged.met, owner) if case.same_protocol else (owner,))
    )


# ---- request ---------------------------------------------------------------------------------------------------------


def _parsed(judged: Judged) -> tuple[ParsedRequest | None, ParsedRequest | None]:
    """Parses the client's request and the provider's, each with the mock's parser."""
    case, entry = judged.case, judged.step.entries[-1]
    try:
        sent = MOCK_PROTOCOLS[case.client.name].parse_request(
            judged.own_path, judged.request.headers, judged.request.body
        )
        received = MOCK_PROTOCOLS[case.upstream.name].parse_request(
            path_below_base(entry, case.provider), entry["headers"], entry["body"]
        )
    except MalformedRequest as problem:
        judged.find("wrong", "content", f"a request cannot be parsed: {problem}")
        return None, None
    return sent, received


def _judge_model(judged: Judged, received: ParsedRequest) -> None:
    model = judged.case.provider.models.get(judged.case.model, judged.case.model)
    if judged.case.provider.models and received.model not in (None, model):
        judged.find("rerouted", "model", f"the request names the model {model}, the provider got {received.model}")


def _told(step: Step, profile: Profile) -> set[str]:
    """Returns the words that told the client of losses: of the headers, and of the stream's last event."""
    words = {loss.word for loss in step.reply.told.losses}
    for name in profile.losses:
        value = step.response.headers.get(name.lower(), "")
        words |= {word.strip().strip("[]\"'") for word in value.split(",")} - {""}
    return words


def _judge_difference(
    judged: Judged, direction: Direction, difference: Difference, told: set[str], *, is_free: bool = False
) -> None:
    """Judges one difference: wrong, or a loss that was told or not, and that the target could have carried or not.

    What is free is wrong by the rules of the house alone.
    """
    if is_free:
        judged.find("wrong", "exact", f"{direction}: {difference}", difference=difference)
        return
    if (feature := left_out(difference)) is not None:
        difference = Difference(feature, *(difference.path, difference.sent, difference.received))
    if difference.feature == WRONG:
        is_rename = difference.path == "tools" and NEEDLESS_RENAME in str(difference.sent)
        is_mode = direction == "request" and difference.path == "stream"
        judged.find(
            "wrong", "exact" if is_rename or is_mode else "content", f"{direction}: {difference}", difference=difference
        )
        return
    path = path_pattern(difference.path)
    limit = _limit(judged, direction, difference.feature, path)
    cannot, (says, source) = limit is not None, limit or ("", "")
    is_told = difference.feature in told or path.rpartition(".")[2].removesuffix("[]") in told
    what = f"{direction}: {difference}"
    rule = "limit" if cannot else "loss"
    if is_told:
        judged.find("lossy-told", rule, what, says=says, source=source, difference=difference)
        if not cannot:
            judged.find("wrong", "needless-loss", what, difference=difference)
    else:
        judged.find(
            "silent-cannot" if cannot else "silent-could", rule, what, says=says, source=source, difference=difference
        )


def _limit(judged: Judged, direction: Direction, feature: str, path: str) -> tuple[str, str] | None:
    """Returns the rule with its source by which the target has no place for a feature; None where it has one."""
    case = judged.case
    side = case.upstream_side if direction == "request" else case.client_side
    implied = {(lost.feature, lost.path) for lost in implied_losses(judged.result, case, direction)}
    if (feature, path) in implied and feature in side.losses:
        return side.losses[feature][0].rule, side.losses[feature][0].url
    if feature in side.refuses:
        return side.refuses[feature].rule, side.refuses[feature].url
    if direction == "reply":
        return NO_PLACE.get((case.client.name, feature))
    own = case.matrix.protocols[judged.met.protocol].backend.losses
    if case.upstream.name != judged.met.protocol and feature in own:
        # a provider that speaks another's protocol beside its own cannot do more in that
        return own[feature][0].rule, own[feature][0].url
    return None


# ---- reply -----------------------------------------------------------------------------------------------------------


def _upstream_reply(judged: Judged, received: ParsedRequest) -> ParsedReply:
    entry = judged.step.entries[-1]
    return judged.case.upstream.parse_reply(
        entry["status"],
        entry["reply_headers"],
        str(entry.get("sent", "")).encode(),
        stream=received.stream,
        request=HttpRequest(entry["method"], entry["path"], entry["headers"], entry["body"] or {}),
    )


def _judge_reply(
    judged: Judged,
    upstream_reply: ParsedReply,
    sent: ParsedRequest,
    matches: ToolMatches,
    origin: str | None,
    told: set[str],
) -> None:
    case, step = judged.case, judged.step
    reply = step.reply
    # a stop sequence, an error of the gateway's own: what the story says of the answer goes before what the mock sent
    wanted = expected_error(case)
    if wanted is None or upstream_reply.error is not None:
        differences = reply_differences(upstream_reply, case.upstream, reply, case.client, matches, sent.tools, origin)
        shape_source = PROTOCOL_SOURCES.get(case.client.name, "")
        is_error = any(difference.path == "error" for difference in differences)
        if is_error and lacks_only_its_last_event(case.client, reply):
            what = f"the reply is whole, but {_error_text(reply).partition(': ')[2]}"
            judged.find("off-shape", "shape", what, source=shape_source)
        elif is_error:  # what else differs follows from it
            is_hidden = reply.error is None
            what = f"the provider failed ({_error_text(upstream_reply)}), the client got an answer"
            other = f"the provider answered, the client got {_received_error(judged)}"
            judged.find("wrong", "error", what if is_hidden else other, source=shape_source)
        else:
            for difference in differences:
                is_free = is_free_in_reply(difference, upstream_reply)
                _judge_difference(judged, "reply", difference, told, is_free=is_free)
    elif reply.error is None:
        judged.find("wrong", "error", f"the client got an answer, the story expects an error of kind {wanted[1]}")
    if wanted is not None and reply.error is not None and step.response.status >= 400:
        # what the story makes of the provider's error may be a rule of the house; to pass it on as it is is right too
        failed = upstream_reply.error
        kinds = {coarse_kind(wanted[1]), wanted[1] if failed is None else failed.kind}
        blamed = {BLAME.get(kind) for kind in kinds}
        if None not in blamed and BLAME.get(reply.error.kind) not in blamed:
            shown = f"{wanted[0]} {wanted[1]}" if failed is None else f"{failed.status} {failed.kind}"
            what = f"the provider's error is {shown}, the client got {_received_error(judged)}"
            # who is to blame for a credential of the gateway's own is for nobody but the gateway to say
            judged.find("wrong", "status" if wanted[1].startswith("upstream_") else "error-kind", what)
    if step.response.broken and reply.error is None:
        judged.find("wrong", "framing", "the connection broke although the reply was complete")
    complaints = upstream_reply.complaints
    excused = complaints if case.same_protocol else tuple(filter(INVALID_ARGUMENTS.match, complaints))
    for complaint in reply.complaints:
        if complaint not in excused:
            rule = "own-shape" if is_free_shape(case.client.name, complaint) else "shape"
            judged.find("off-shape", rule, complaint, source=PROTOCOL_SOURCES.get(case.client.name, ""))


# ---- rules of the house ----------------------------------------------------------------------------------------------


def _judge_by_the_suite(judged: Judged) -> None:
    """Runs every check of the suite; they know the headers and the record of the gateway that they were made for."""
    before = len(judged.result.reasons)
    check_exchange(judged.result, judged.case, judged.request, judged.step)
    has_failed = judged.result.outcome == "fail"
    for reason in judged.result.reasons[before:] if has_failed else ():
        judged.find("wrong", "exact", reason)


def _judge_by_the_house(
    judged: Judged,
    sent: ParsedRequest,
    received: ParsedRequest,
    of_request: list[Difference],
    upstream_reply: ParsedReply,
) -> None:
    """Adds what the rules of the house say of any gateway."""
    case, step = judged.case, judged.step
    entry = step.entries[-1]
    key = judged.profile.frontends[case.client.name].key or CLIENT_KEY
    if key in f"{entry['path']}{entry['headers']}{entry['body']}":
        judged.find("wrong", "secrets", "the client's credential reached the provider")
    if case.provider.auth.key in f"{step.response.headers}{step.transcript.client_response}":
        judged.find("wrong", "secrets", "the gateway's own credential reached the client")
    for path, value in added_fields(sent, received, same=case.same_protocol).items():
        if path not in case.upstream_side.adds:
            judged.find("wrong", "added-field", f"the provider got {path} = {value!r}")
    _judge_by(judged, "feature-headers", lambda found: check_feature_headers(found, case, judged.request, entry))
    if expected_error(case) is not None and step.reply.error is not None:
        rule = "broken-end" if step.response.status == 200 else "status"
        _judge_by(judged, rule, lambda found: check_error(found, case, step, upstream_reply))
        wait = case.exchange.hear.headers.get("retry-after", entry["reply_headers"].get("retry-after"))
        if wait is not None and step.response.status >= 400 and step.response.headers.get("retry-after") != wait:
            judged.find(
                "wrong",
                "retry-after",
                f"the provider said {wait}, the client got {step.response.headers.get('retry-after')}",
            )


def _judge_by(judged: Judged, rule: str, check: Callable[[Result], None]) -> None:
    """Runs a check of the suite on a result of its own; each of its complaints is a finding by this rule."""
    found = Result(judged.verdict.cell)
    check(found)
    for reason in found.reasons:
        judged.find("wrong", rule, reason)
