"""Judges one exchange: each thing that is not right is a finding, by a vendor's rule or by one of this house."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest, ParsedRequest
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
from ..matrix.result import Result, Step, path_below_base
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
    for difference in of_request:
        _judge_difference(judged, "request", difference, told)
    upstream_reply = _upstream_reply(judged, received)
    if case.unreportable and step.reply.error is not None and upstream_reply.error is None:
        judged.find("refused", "limit", _error_text(step.reply))
        return False
    _judge_reply(judged, upstream_reply, sent, matches, origin, told)
    if judged.house:
        _judge_by_the_house(judged, sent, received, of_request, upstream_reply)
    return step.reply.error is None


# ---- no answer of the provider ---------------------------------------------------------------------------------------


def _error_text(reply: ParsedReply) -> str:
    return "" if reply.error is None else f"{reply.error.status} {reply.error.kind}: {reply.error.message}"


def _judge_refusal(judged: Judged) -> None:
    """Judges an answer that the gateway made alone: an error that the story expects, a limit of the target, or not."""
    case, reply = judged.case, judged.step.reply
    if reply.error is None:
        judged.find("wrong", "content", "an answer came although no request reached the provider")
        return
    wanted = case.exchange.hear.error
    if wanted is not None and wanted.kind is not None and coarse_kind(wanted.kind) == reply.error.kind:
        return
    limits = must_refuse(case.provider, case.story, case.matrix) | set(case.unreportable)
    if limits:
        side = case.upstream_side
        reasons = [side.refuses[feature] for feature in sorted(limits) if feature in side.refuses]
        says, source = (reasons[0].rule, reasons[0].url) if reasons else ("", "")
        judged.find("refused", "limit", _error_text(reply), says=says, source=source)
    else:
        judged.find("refused", "refusal", _error_text(reply))


def _judge_rejection(judged: Judged, note: str) -> None:
    """Judges a request that the provider refused, with the rule by which it did."""
    refused = MOCK_PROTOCOLS[judged.met.protocol].refusal(
        path_below_base(judged.step.entries[-1], judged.met),
        judged.step.entries[-1]["headers"],
        judged.step.entries[-1]["body"],
        judged.met,
    )
    if refused is not None and _refuses_the_client_too(judged, refused.rule):
        return  # the client asked for what this model refuses, and is told so in its own protocol
    if refused is not None:
        rule: ProviderRule = refused.rule
        judged.find("rejected", "provider", refused.failure.message, says=rule.says, source=rule.source)
    elif note.startswith("malformed") or note.startswith("not JSON"):
        judged.find("rejected", "provider", note, source=PROTOCOL_SOURCES.get(judged.met.protocol, ""))
    else:
        judged.find("wrong", "content", f"the provider did not get the conversation: {note}")


def _refuses_the_client_too(judged: Judged, rule: ProviderRule) -> bool:
    """Returns whether the provider would refuse the client's own request by this rule, and the client was told so."""
    case, error = judged.case, judged.step.reply.error
    if not case.same_protocol or error is None or BLAME.get(error.kind) != "the request":
        return False
    body = judged.request.body
    body = {**body, "model": case.provider.models.get(case.model, case.model)} if "model" in body else body
    own = MOCK_PROTOCOLS[case.client.name].refusal(judged.own_path, judged.request.headers, body, judged.met)
    return own is not None and own.rule.id == rule.id


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


def _judge_difference(judged: Judged, direction: str, difference: Difference, told: set[str]) -> None:
    """Judges one difference: wrong, or a loss that was told or not, and that the target could have carried or not."""
    case = judged.case
    if difference.feature == WRONG:
        is_rename = difference.path == "tools" and NEEDLESS_RENAME in str(difference.sent)
        is_mode = direction == "request" and difference.path == "stream"
        judged.find(
            "wrong", "exact" if is_rename or is_mode else "content", f"{direction}: {difference}", difference=difference
        )
        return
    path = path_pattern(difference.path)
    implied = {
        (lost.feature, lost.path)
        for lost in implied_losses(judged.result, case, "request" if direction == "request" else "reply")
    }
    side = case.upstream_side if direction == "request" else case.client_side
    limit = next(
        (allowance for allowance in side.losses.get(difference.feature, ()) if (difference.feature, path) in implied),
        None,
    )
    refusal = side.refuses.get(difference.feature)
    says, source = (limit.rule, limit.url) if limit else (refusal.rule, refusal.url) if refusal else ("", "")
    cannot = limit is not None or refusal is not None
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
        for difference in reply_differences(
            upstream_reply, case.upstream, reply, case.client, matches, sent.tools, origin
        ):
            if difference.path == "error":
                is_hidden = reply.error is None
                what = f"the provider failed ({_error_text(upstream_reply)}), the client got an answer"
                other = f"the provider answered, the client got {_error_text(reply)}"
                judged.find(
                    "wrong", "error", what if is_hidden else other, source=PROTOCOL_SOURCES.get(case.client.name, "")
                )
            else:
                _judge_difference(judged, "reply", difference, told)
    elif reply.error is None:
        judged.find("wrong", "error", f"the client got an answer, the story expects an error of kind {wanted[1]}")
    if wanted is not None and reply.error is not None and step.response.status >= 400:
        blamed, blame = BLAME.get(coarse_kind(wanted[1])), BLAME.get(reply.error.kind)
        if blamed is not None and blamed != blame:
            what = f"the provider's error is {wanted[0]} {wanted[1]}, the client got {_error_text(reply)}"
            judged.find("wrong", "error-kind", what)
    if step.response.broken and reply.error is None:
        judged.find("wrong", "framing", "the connection broke although the reply was complete")
    complaints = upstream_reply.complaints
    same = case.same_protocol and step.entries[-1]["status"] == 200
    excused = complaints if same else tuple(filter(INVALID_ARGUMENTS.match, complaints))
    for complaint in reply.complaints:
        if complaint not in excused:
            judged.find("off-shape", "shape", complaint, source=PROTOCOL_SOURCES.get(case.client.name, ""))


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
