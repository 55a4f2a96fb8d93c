"""Reference of the routing rules: routes, prefixes, modes, smart models."""

from __future__ import annotations

from .key_info import REQUIRED, KeyInfo

ROUTING_KEYS: tuple[KeyInfo, ...] = (
    KeyInfo(
        path="routes",
        type="list of mappings",
        example="[{match: gpt-*, backend: openai}]",
        meaning="Rules from a model's name or pattern to backends.",
    ),
    KeyInfo(
        path="prefixes",
        type="mapping of word to backend or false",
        example="{local: home, google: false}",
        meaning="Backend for the word before a model's first slash; `false` keeps names with this word whole.",
    ),
    KeyInfo(
        path="unmapped",
        type="capability, refuse, or a backend",
        default="capability",
        example="openai",
        meaning="Backend of every model without a rule; `capability` chooses by capability and priority, and gives the "
        "names of a vendor that has a backend here to no other; `refuse` answers 404.",
    ),
    KeyInfo(
        path="aliases",
        type="mapping of name or pattern to name",
        default="{}",
        example="{claude-*: gpt-5}",
        meaning="Names that stand for another one, for clients whose models have fixed names; a rule for exactly the "
        "name comes first, and an alias of an alias is an error.",
    ),
    KeyInfo(
        path="pins",
        type="true or false",
        default="true",
        example="false",
        meaning="Whether clients may choose a backend with the header `x-crosswire-backend`.",
    ),
    KeyInfo(
        path="unlisted",
        type="list of patterns",
        default="[]",
        example='["old-*"]',
        meaning="Models that are served and left out of every list of models.",
    ),
    KeyInfo(
        path="mode",
        type="name of a mode",
        example="eco",
        meaning="Mode of requests without the header `x-crosswire-mode`.",
    ),
    KeyInfo(
        path="modes",
        type="mapping",
        example="{eco: {backend: home}}",
        meaning="Modes by name, which clients choose with the header `x-crosswire-mode`.",
    ),
    KeyInfo(
        path="smart",
        type="mapping",
        example="{auto: {cheap: {backend: home, model: hermes3}, primary: {backend: openai, model: gpt-5}}}",
        meaning="Virtual models by name; a score of the request chooses between two targets.",
    ),
    KeyInfo(
        path="routes[].match",
        type="name or pattern",
        without=REQUIRED,
        example='"team-*"',
        meaning="A model's name, or a shell pattern of names.",
    ),
    KeyInfo(
        path="routes[].backend",
        type="backend",
        without="required, unless there is `to`",
        example="openai",
        meaning="Backend of these models.",
    ),
    KeyInfo(
        path="routes[].model",
        type="name",
        without="the client's name",
        example='"{1}"',
        meaning="Upstream model; `{1}` is the text that the first wildcard matched.",
    ),
    KeyInfo(
        path="routes[].priority",
        type="integer",
        default="0",
        example="10",
        meaning="Order of routes with a pattern: higher first.",
    ),
    KeyInfo(
        path="routes[].enabled",
        type="true or false",
        default="true",
        example="false",
        meaning="Whether the route is used.",
    ),
    KeyInfo(
        path="routes[].fallback",
        type="list of targets",
        without="no failover",
        example="[home, {backend: anthropic, model: claude-haiku-4-5}]",
        meaning="Backends after the first, in order; each a name or a mapping of `backend` and `model`.",
    ),
    KeyInfo(
        path="routes[].to",
        type="list of targets",
        without="`backend` and `fallback`",
        example="[openai, {backend: anthropic, model: claude-haiku-4-5}]",
        meaning="All backends in order, instead of `backend` and `fallback`; with a `strategy` they are equals, and "
        "`fallback` may follow them. A target's `weight` (default 1) counts for `weighted`, `least_busy` and `sticky`; "
        "one of weight 0 serves only where no other is up.",
    ),
    KeyInfo(
        path="routes[].strategy",
        type="order, weighted, least_busy, latency, cost or sticky",
        default="order",
        example="least_busy",
        meaning="Which target of `to` is called first; the others follow where it fails.",
    ),
    KeyInfo(
        path="routes[].sticky_by",
        type="conversation or client",
        default="conversation",
        example="client",
        meaning="What `sticky` sends to one target: a conversation, by its beginning, or all requests of a client.",
    ),
    KeyInfo(
        path="routes[].hedge",
        type="mapping of after_s, whole_after_s and budget",
        without="no request is sent twice",
        example="{after_s: 2, budget: 0.05}",
        meaning="Calls the next target too where a stream has no content after `after_s`, or a whole answer is not "
        "there after `whole_after_s`; at most `budget` (default 0.05) of the requests.",
    ),
    KeyInfo(
        path="modes.*.backend",
        type="backend",
        without="the rules without a mode",
        example="home",
        meaning="Backend of every model without a rule.",
    ),
    KeyInfo(
        path="modes.*.models",
        type="mapping of name to name",
        default="{}",
        example="{chat: openai/gpt-5-mini}",
        meaning="Aliases: names that stand for others in this mode.",
    ),
    KeyInfo(
        path="smart.*.cheap",
        type="target",
        without=REQUIRED,
        example="{backend: home, model: hermes3}",
        meaning="Target of easy requests: `backend`, `model` or both; without a backend that of `primary`.",
    ),
    KeyInfo(
        path="smart.*.primary",
        type="target",
        without=REQUIRED,
        example="{backend: openai, model: gpt-5}",
        meaning="Target of all other requests: `backend` and `model`.",
    ),
    KeyInfo(
        path="smart.*.weights",
        type="mapping of part to points",
        default="{length: 25, code: 20, steps: 15, questions: 5, tools: 15, results: 10, images: 10, reasoning: 25, "
        "thinking: 25, schema: 5}",
        example="{code: 40}",
        meaning="Maximum points of each part of the score.",
    ),
    KeyInfo(
        path="smart.*.thresholds",
        type="mapping of tier to points",
        default="{standard: 15, pro: 35, frontier: 70}",
        example="{pro: 50}",
        meaning="Points from which a tier begins; below `standard` it is flash, and flash and standard are cheap.",
    ),
    KeyInfo(
        path="smart.*.cascade",
        type="true or false",
        default="false",
        example="true",
        meaning="Whether a failed or poor answer of `cheap` is replaced by one of `primary`.",
    ),
)
