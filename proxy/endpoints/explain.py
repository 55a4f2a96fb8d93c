"""Explains how a request would be routed, without sending it.

It asks the same `decide` that serves; the command line and the admin's door both print what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from ..balance.strategy import Standing, figure
from ..config import Config
from ..costs.price import PriceTable
from ..costs.price_list import shipped_prices
from ..errors import ClientError, Malformed
from ..gateway.cache_rule import marks_cache
from ..gateway.protocol_choice import fits, in_order, protocols_of, target_of
from ..gateway.runtime import Runtime
from ..gateway.target_choice import price_of, standing_now, subject_of
from ..ir import CAPABILITIES, Added, Request, Text, Tool, Turn
from ..ir.capabilities import required_capabilities
from ..ir.losses import features
from ..observability.request_record import shown_balance
from ..protocols import DEFAULT, PROTOCOLS
from ..routing import Candidate, Decision, RoutingInput, balanced, decide, request_features
from ..traits import describe, traits_of
from ..wire.json_fields import encode, need, parse_object, strings, take

KEYS: dict[str, str] = {
    "model": "the model that the client asks for; of a whole request its own, unless its address has it",
    "needs": "capabilities that the request needs",
    "tools": "whether it offers tools",
    "prompt": "the user's last text, for a smart model's score",
    "request": "a whole request's body, in place of needs, tools and prompt",
    "frontend": "the protocol of that body; default openai-chat",
    "user_agent": "what the client calls itself, for what is done for one client alone",
    "mode": "the value of the header x-crosswire-mode",
    "pin": "the value of the header x-crosswire-backend",
    "down": "backends to treat as down",
    "client": "the client's name, for the strategy sticky by client",
}
"""The keys of the body, and their meaning."""


EMPTY_TURNS = (Turn("user", (Text(""),)),)
"""The conversation of a request of which only the model is known."""


def explain(
    config: Config, body: Mapping[str, Any], down: Mapping[str, str] | None = None, runtime: Runtime | None = None
) -> dict[str, Any]:
    """The decision for what `body` says of a request, as plain data; `down` is who is down now, and why.

    Equal targets are in the order that `runtime` would give them now; without one nothing was measured, and chance
    takes the first.

    Beside the decision's own fields: the model, what the request needs, and the traits of the model that was chosen.
    What a backend could not take without a loss is not part of it, for only encoding the request shows that. Raises
    Malformed where the body is not understood.
    """
    said = dict(body)
    request, needs = _asked(said)
    user_agent = take(said, "user_agent", str, "")
    facts = RoutingInput(
        request.model,
        needs,
        request.protocol,
        pin=take(said, "pin", str),
        mode=take(said, "mode", str),
        down={**(down or {}), **_down(said, config)},
        features=request_features(request),
    )
    client = take(said, "client", str)
    for key in said:
        near = get_close_matches(key, KEYS, 1)
        raise Malformed(key, f"unknown key; {f'did you mean {near[0]}?' if near else 'known: ' + ', '.join(KEYS)}")
    decided = _balanced(decide(facts, config.plan), request, config, client, runtime)
    decision = msgspec.to_builtins(decided)
    decision |= shown_balance(decision)
    for key in ("balance", "weights", "standings"):
        if not decision[key]:
            del decision[key]
    chosen = decision["chosen"]
    found = {"model": request.model, "needs": sorted(needs), **decision, "traits": _traits(chosen, config)}
    protocols = {} if chosen is None else _protocols(request, needs, chosen, config)
    added = msgspec.to_builtins(_added(request, user_agent, chosen, next(iter(protocols), None), config))
    return found | ({"protocols": protocols} if protocols else {}) | ({"added": added} if added else {})


def table(found: Mapping[str, Any]) -> str:
    """The same for a person: who is asked, how that came about, and a line for every candidate."""
    chosen, refusal = found["chosen"], found["refusal"]
    lines = []
    if chosen is not None:
        lines.append(f"{found['model']} -> {chosen['backend']} ({chosen['model']})")
    elif refusal is not None:
        lines.append(f"{found['model']} is refused with {refusal['status']}: {refusal['message']}")
    lines.append(f"mode: {found['mode']}; {found['because']}")
    if len(found["chain"]) > 1:
        chain = ", ".join(f"{each['backend']} ({each['model']})" for each in found["chain"])
        lines.append(f"one after the other{' while the answer is poor' if found['cascade'] else ''}: {chain}")
    lines += _balance_lines(found)
    if (score := found["score"]) is not None:
        parts = ", ".join(f"{part} {points:g}" for part, points in score["parts"].items()) or "nothing that counts"
        lines.append(f"score: {score['total']:g} points, tier {score['tier']}: {parts}")
    for protocol, losses in found.get("protocols", {}).items():
        lines.append(f"by {protocol}: {'loses ' + ', '.join(losses) if losses else 'loses nothing'}")
    lines += [f"warning: {note}" for note in found["notes"]]
    lines += [f"trait: {line}" for line in found["traits"]]
    lines += [f"added: {each['path']} = {each['value']}, {each['why']}" for each in found.get("added", ())]
    width = max((len(candidate["backend"]) for candidate in found["considered"]), default=0)
    for candidate in found["considered"]:
        mark = "✓" if candidate["taken"] else "✗"
        lines.append(f"  {mark} {candidate['backend']:{width}}  {candidate['model'] or '-'}  {candidate['why']}")
    return "\n".join(lines)


def _balanced(
    decision: Decision, request: Request, config: Config, client: str | None, runtime: Runtime | None
) -> Decision:
    """The decision with its equal candidates in the order of the strategy."""
    balance = decision.balance
    if balance is None:
        return decision
    prices = PriceTable((*config.settings.prices, *shipped_prices())) if runtime is None else runtime.prices

    def standing_of(each: Candidate, weight: float) -> Standing:
        if runtime is not None and each.backend in runtime.backends:
            return standing_now(runtime, each, weight, request.model, streams=request.stream)
        price = price_of(prices, config.plan.by_name[each.backend], each.model or request.model)
        return Standing(each.backend, each.model, weight, price=price)

    return balanced(decision, standing_of, lambda: 0.0, subject_of(balance, client, request))


def _balance_lines(found: Mapping[str, Any]) -> list[str]:
    """The figures of each equal target, by the strategy, and when a second one is called."""
    balance = found.get("balance")
    if balance is None:
        return []
    standings = [msgspec.convert(each, Standing) for each in found.get("standings", ())]
    weights = sum(each.weight for each in standings)
    lines = []
    for each in standings:
        text = figure(balance["strategy"], each)
        if balance["strategy"] in ("weighted", "sticky"):
            text += f", {each.weight / weights:.0%} of all"
        lines.append(f"{balance['strategy']}: {each.name} ({each.model}): {text}")
    if (hedge := balance.get("hedge")) is not None:
        late = [
            f"{what} is not there after {hedge[key]:g} s"
            for key, what in (("after_s", "a first word"), ("whole_after_s", "a whole answer"))
            if key in hedge
        ]
        lines.append(f"hedged: {' or '.join(late)}: the next is called too, for {hedge['budget']:.0%} of the requests")
    return lines


def _added(
    request: Request, user_agent: str, chosen: Mapping[str, Any] | None, by: str | None, config: Config
) -> tuple[Added, ...]:
    """Returns what is said to the chosen backend, by this protocol or its only one, and is not in the request."""
    if chosen is None or chosen["model"] is None:
        return ()
    spoken = protocols_of(config.plan.by_name[chosen["backend"]])
    backend = next((each for each in spoken if each.protocol == by), spoken[0])
    protocol = PROTOCOLS.get(backend.protocol)
    if protocol is None or protocol.name == request.protocol:
        return ()
    try:
        sent = protocol.encode_request(request, target_of(backend, chosen["model"]))
    except ClientError:  # it cannot be sent at all, which is no addition
        return ()
    if protocol.place_cache_marks is None or not marks_cache(backend, request.protocol, user_agent):
        return sent.added
    return sent.added + protocol.place_cache_marks(sent.payload)


def _traits(chosen: Mapping[str, Any] | None, config: Config) -> list[str]:
    """Returns a line for each trait of the chosen model at its host."""
    if chosen is None or chosen["model"] is None:
        return []
    backend = config.plan.by_name[chosen["backend"]]
    return list(describe(traits_of(chosen["model"], backend.host, backend.quirks, backend.traits)))


def _protocols(
    request: Request, needs: frozenset[str], chosen: Mapping[str, Any], config: Config
) -> dict[str, list[str]]:
    """Returns what the request would lose by each protocol of the chosen backend, the one that it goes by first.

    Empty where the backend speaks only one. An upstream may turn out not to have an address; that is not known here.
    """
    backend = config.plan.by_name[chosen["backend"]]
    if not backend.speaks:
        return {}
    if request.turns == EMPTY_TURNS:  # no request but a name, and an empty text is a loss of its own
        request = msgspec.structs.replace(request, turns=(Turn("user", (Text("Hello!"),)),))
    found: list[tuple[str, list[str]]] = []
    for each in in_order(protocols_of(backend), lambda each: each, request.protocol):
        if not fits(each, needs):
            continue
        try:
            sent = PROTOCOLS[each.protocol].encode_request(request, target_of(each, chosen["model"] or request.model))
        except ClientError as fault:
            found.append((each.protocol, [f"refused: {fault.failure.message}"]))
        else:
            found.append((each.protocol, list(features(sent.losses))))
    found.sort(key=lambda each: len(each[1]) if not each[1] or not each[1][0].startswith("refused: ") else 1000)
    return dict(found)


def _asked(said: dict[str, Any]) -> tuple[Request, frozenset[str]]:
    """The request that is meant, and what it needs."""
    frontend = take(said, "frontend", str, DEFAULT.name)
    if frontend not in PROTOCOLS:
        raise Malformed("frontend", f"unknown protocol; known: {', '.join(PROTOCOLS)}")
    body = take(said, "request", dict)
    if body is not None:
        for key in ("needs", "tools", "prompt"):
            if key in said:
                raise Malformed(key, "cannot be combined with request; keep one of them")
        model = take(said, "model", str)
        protocol = PROTOCOLS[frontend]
        if not protocol.model_in and not model:
            raise Malformed("model", "is required, for a request of this protocol has it in its URL")
        try:
            # a decoder owns what it reads, and this is the caller's
            request = protocol.decode_request(parse_object(encode(body)), protocol.url_params(model, False))
        except Malformed as fault:
            raise fault.under("request") from None
        except RecursionError:
            raise Malformed("request", "is nested too deeply") from None
        request = request if model is None else msgspec.structs.replace(request, model=model)
        return request, required_capabilities(request)
    offers = take(said, "tools", bool, False)
    turns = (Turn("user", (Text(take(said, "prompt", str, "")),)),)
    tools = (Tool("tool"),) if offers else ()
    request = Request(protocol=frontend, model=need(said, "model", str), turns=turns, tools=tools)
    needs = strings(said, "needs")
    for word in needs:
        if word not in CAPABILITIES:
            raise Malformed("needs", f"contains an unknown capability; known: {', '.join(CAPABILITIES)}")
    return request, required_capabilities(request) | set(needs)


def _down(said: dict[str, Any], config: Config) -> dict[str, str]:
    names = strings(said, "down")
    for name in names:
        if name not in config.plan.by_name:
            raise Malformed("down", f"names an unknown backend; known: {', '.join(config.plan.by_name)}")
    return dict.fromkeys(names, "is thought of as down")
