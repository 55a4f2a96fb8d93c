"""HTTP server of the mock: every provider on one port, under `/<provider><base path>`.

A path may also name a backend of the proxy, `/<provider>@<backend><base path>`: a story can define a reply for each
backend, and each has its own key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from msgspec.structs import replace

from .any_reply import any_items
from .conditions import Conditions, Latency, drawn_fault, failure_of_fault, with_fault, with_latency
from .endpoints.table import answer_endpoint, has_endpoint
from .faults import End, Sleep, Write, active_items, error_before_content, literal_reply, reply_actions
from .framing import CONTENT_TYPES, JSON
from .journal import Entry, Journal
from .matcher import Match, NearMiss, match_story
from .protocols import MOCK_PROTOCOLS
from .protocols.names import WITHOUT_COMMENTS
from .protocols.protocol import MalformedRequest, MockProtocol
from .protocols.reply_context import Failure, RenderedReply, ReplyContext, estimate_usage, failure_of
from .scenarios.loader import Scenarios
from .scenarios.model import SayStop, calls_of, effective_settings
from .scenarios.provider import Auth, Provider
from .scenarios.story import FRAME, WHOLE, Story, Wire, request_length, split_items
from .tool_aliases import rename_for_request

LOG = logging.getLogger("crosswire.mock")

NO_CONDITIONS = Conditions()
NO_LATENCY = Latency()

BODY_LIMIT = 64 * 1024 * 1024
"""Largest accepted request body in bytes: more than any provider accepts."""

THREAD_THRESHOLD = 256 * 1024
"""Body size in bytes above which a request is handled in a thread, so that it does not block the event loop."""


class MockProvider:
    """State of the server: scenarios, journal, and how often each (backend, story, step) was served.

    `write` is how every reply is cut into writes, in place of what its story says; None leaves it to the story.
    """

    def __init__(self, scenarios: Scenarios, conditions: Conditions = NO_CONDITIONS) -> None:
        self.scenarios = scenarios
        self.conditions = conditions
        self.random = Random(conditions.seed)
        self.journal = Journal()
        self.write: int | str | None = None
        self.served: Counter[tuple[str, str, int]] = Counter()

    def reset(self) -> None:
        """Empties the journal and the counters, and leaves the cutting of replies to the stories."""
        self.journal.reset()
        self.served.clear()
        self.write = None
        self.random = Random(self.conditions.seed)

    # ---- choosing the reply ------------------------------------------------------------------------------------------

    def respond(
        self, entry: Entry, provider: Provider, protocol: MockProtocol, path: str
    ) -> tuple[RenderedReply, Wire, float]:
        """Returns the reply to a request, its wire settings, and the seconds to wait before it."""
        endpoint = protocol.endpoint_of(entry.method, path)
        reply = answer_endpoint(entry, provider, protocol, path, self.journal.entries)
        if isinstance(reply, Failure):
            entry.note = f"refused: {reply.message}"
            return protocol.render_error(reply, provider), Wire(), 0
        if reply is not None:
            return _json_reply(reply), Wire(), 0
        if endpoint is None:
            message = (
                f"Unknown request URL: {entry.method} {path}. {provider.name} uses the protocol {provider.protocol}."
            )
            return protocol.render_error(Failure(404, "not_found", message), provider), Wire(), 0
        body: Any = None
        if endpoint != "models":
            try:
                body = entry.body = json.loads(entry.received)
            except (ValueError, RecursionError) as problem:
                entry.note = f"not JSON: {problem}"
                message = f"We could not parse the JSON body of your request: {problem}"
                return protocol.render_error(Failure(400, "bad_request", message), provider), Wire(), 0
        judged = provider if self.conditions.any is None else _for_anybody(provider, path, entry.headers)
        refused = protocol.refusal(path, entry.headers, body, judged)
        if refused is not None:
            entry.note = f"refused by {protocol.name}/{refused.rule.id}: {refused.failure.message}"
            story = self._story_of(body)
            if story is not None:
                entry.story = story.name
            LOG.info("Refused: %s: %s/%s: %s", provider.name, protocol.name, refused.rule.id, refused.failure.message)
            return protocol.render_error(refused.failure, provider), Wire(), 0
        if endpoint == "models":
            return _json_reply(protocol.list_models(provider)), Wire(), 0
        if endpoint == "count":
            return _json_reply(protocol.count_tokens(body) if protocol.count_tokens else {}), Wire(), 0
        fault = drawn_fault(self.conditions.faults, self.random) if self.conditions.faults else None
        if fault is None:
            return self._reply_from_story(entry, provider, protocol, path, body)
        entry.fault = fault.kind
        LOG.info("Fault: %s: %s", provider.name, fault.kind)
        failure = failure_of_fault(fault)
        if failure is not None:
            return protocol.render_error(failure, provider), Wire(), 0
        rendered, wire, wait = self._reply_from_story(entry, provider, protocol, path, body)
        return with_fault(rendered, fault), wire, wait

    def _story_of(self, body: Any) -> Story | None:
        found = match_story(body, (), self.scenarios.stories)
        return found.story if isinstance(found, Match) else None

    def _reply_from_story(
        self, entry: Entry, provider: Provider, protocol: MockProtocol, path: str, body: Any
    ) -> tuple[RenderedReply, Wire, float]:
        try:
            parsed = protocol.parse_request(path, entry.headers, body)
        except MalformedRequest as problem:
            entry.note = f"malformed: {problem}"
            return protocol.render_error(Failure(400, "bad_request", str(problem)), provider), Wire(), 0
        found = match_story(body, parsed.turns, self.scenarios.stories)
        if isinstance(found, NearMiss) and self.conditions.any is not None:
            items = any_items(parsed, self.conditions.any, entry.seq + 1)
            context = ReplyContext(
                provider=provider,
                # ids are made of it, and clients expect those of two replies to differ
                story=f"any-{entry.seq + 1}",
                step=0,
                model=parsed.model or provider.default_model or "",
                stream=parsed.stream,
                items=items,
                stop=SayStop("tool" if calls_of(items) else "end"),
                usage=estimate_usage(len(entry.received), items),
                path=path,
                headers=entry.headers,
                body=body,
            )
            LOG.info("No scenario: %s: answered as --any says", provider.name)
            return self._rendered(entry, provider, protocol, context), Wire(), 0
        if isinstance(found, NearMiss):
            entry.note = found.message
            LOG.warning("No scenario: %s: %s", provider.name, found.message)
            return protocol.render_error(Failure(400, "bad_request", found.message), provider), Wire(), 0
        story, step = found.story, found.step
        entry.story, entry.step = story.name, step
        LOG.info("Detected scenario: %s/%s", provider.name, story.name)
        exchange, wire = story.exchanges[step], story.wire
        if provider.protocol in WITHOUT_COMMENTS:
            wire = replace(wire, comments=False)
        if provider.protocol in exchange.raw:
            return literal_reply(exchange.raw[provider.protocol], protocol.framing), wire, 0
        defined = provider.replies.get(story.name) if step == 0 else None
        defined = defined or exchange.items_for(entry.backend, provider.name)
        if defined is None:
            message = (
                f"story {story.name} defines no reply for backend {entry.backend} (provider {provider.name}) "
                f"at step {step}"
            )
            entry.note = message
            return protocol.render_error(Failure(400, "bad_request", message), provider), Wire(), 0
        step_key = (entry.backend, story.name, step)
        items, stop, usage = split_items(active_items(defined, self.served[step_key]))
        tools = effective_settings([exchange.ask for exchange in story.exchanges[: step + 1]]).tools
        items = rename_for_request(items, tools, parsed.tools)
        self.served[step_key] += 1
        first = error_before_content(items, parsed.stream)
        if first is not None:
            return protocol.render_error(failure_of(first[0]), provider), Wire(), first[1]
        context = ReplyContext(
            provider=provider,
            story=story.name,
            step=step,
            model=parsed.model or provider.default_model or "",
            stream=parsed.stream,
            items=items,
            stop=stop,
            usage=usage or estimate_usage(request_length(story, step), items),
            path=path,
            headers=entry.headers,
            body=body,
        )
        return self._rendered(entry, provider, protocol, context), wire, 0

    def _rendered(
        self, entry: Entry, provider: Provider, protocol: MockProtocol, context: ReplyContext
    ) -> RenderedReply:
        try:
            rendered = protocol.render_reply(context)
        except json.JSONDecodeError as problem:  # an object is the only form of arguments in some protocols
            entry.note = f"{protocol.name} has no form for the calls that story {context.story} answers: {problem}"
            return protocol.render_error(Failure(400, "bad_request", entry.note), provider)
        if self.conditions.latency == NO_LATENCY:
            return rendered
        return with_latency(rendered, self.conditions.latency, context.usage.output or 0)


def _for_anybody(provider: Provider, path: str, headers: Mapping[str, str]) -> Provider:
    """Returns the provider with the key that a request carries, and with any model."""
    query = parse_qs(urlsplit(path).query)
    given = (
        headers.get("x-api-key"),
        headers.get("x-goog-api-key"),
        headers.get("authorization", "").removeprefix("Bearer ").strip(),
        *query.get("key", ()),
    )
    key = next(filter(None, given), provider.auth.key)
    return replace(provider, models={}, default_model=None, auth=Auth(provider.auth.header, key))


def dialect_of(provider: Provider, method: str, path: str) -> str:
    """Returns the protocol of a path: the provider's own, unless only one of its other dialects has the path."""
    for name in (provider.protocol, *provider.dialects):
        if MOCK_PROTOCOLS[name].endpoint_of(method, path) is not None or has_endpoint(name, method, path):
            return name
    return provider.protocol


def _json_reply(value: Any) -> RenderedReply:
    return RenderedReply(200, {}, (json.dumps(value).encode(),), JSON)


# ---- HTTP ------------------------------------------------------------------------------------------------------------

MOCK = web.AppKey("mock", MockProvider)

PAGE = Path(__file__).with_name("page")
PAGE_FILES = {"": "text/html", "journal.js": "text/javascript", "journal.css": "text/css"}
"""Path of a file of the page below `/ui/` to its type."""

PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

LOOPBACK = ("127.0.0.1", "::1", "localhost")

PREFIX = re.compile(r"^/([^/@]+)(?:@([^/]+))?(/.*)?$")
"""Matches a request path: provider, backend (if any), and the rest of the path."""


def make_app(scenarios: Scenarios, conditions: Conditions = NO_CONDITIONS) -> web.Application:
    """Returns the aiohttp application; raises ValueError when the scenarios contain mistakes."""
    if scenarios.mistakes:
        raise ValueError("\n".join(map(str, scenarios.mistakes)))
    app = web.Application(client_max_size=BODY_LIMIT)
    app[MOCK] = MockProvider(scenarios, conditions)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/journal", _journal)
    for name in PAGE_FILES:
        app.router.add_get(f"/ui/{name}", _page)
    app.router.add_route("*", "/reset", _reset)
    app.router.add_post("/wire", _wire)
    app.router.add_route("*", "/{rest:.*}", _provider_request)
    return app


async def _healthz(request: web.Request) -> web.Response:
    scenarios = request.app[MOCK].scenarios
    return web.json_response(
        {"status": "ok", "providers": sorted(scenarios.providers), "stories": len(scenarios.stories)}
    )


async def _journal(request: web.Request) -> web.Response:
    """Returns journal entries as JSON, from sequence number `since` on, filtered by `story` and `provider`."""
    journal = request.app[MOCK].journal
    since = request.query.get("since", "0")
    if not since.isdecimal():
        return web.json_response(
            {"error": f"since={since!r} is not a number; use the `next` value of an earlier reply"}, status=400
        )
    entries = [
        entry.to_json()
        for entry in journal.since(int(since))
        if all(getattr(entry, key) == request.query[key] for key in ("story", "provider") if key in request.query)
    ]
    return web.json_response({"next": journal.next, "entries": entries})


async def _page(request: web.Request) -> web.Response:
    """Returns a file of the page that shows the journal, to browsers on this machine that call it by its own address.

    A page of another site cannot read it through a name that it points at this machine.
    """
    host = (request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host).strip("[]")
    peer = request.remote or ""
    if host not in LOOPBACK or peer not in LOOPBACK:
        return web.Response(status=403, text="The page is for browsers on this machine, at http://127.0.0.1\n")
    name = request.match_info.route.resource.canonical.removeprefix("/ui/") if request.match_info.route.resource else ""
    file = PAGE / (name or "journal.html")
    text = await asyncio.to_thread(file.read_text, "utf-8")
    return web.Response(text=text, content_type=PAGE_FILES[name], headers=PAGE_HEADERS)


async def _reset(request: web.Request) -> web.Response:
    if request.method not in ("POST", "DELETE"):
        return web.json_response(
            {"error": "use POST /reset to empty the journal"}, status=405, headers={"allow": "POST"}
        )
    request.app[MOCK].reset()
    return web.json_response({"status": "ok"})


async def _wire(request: web.Request) -> web.Response:
    """Sets how every reply is cut into writes: `{"write": 1}`, `"whole"` or `"frame"`; null leaves it to the stories.

    The writes then arrive one by one, as from another process.
    """
    try:
        write = json.loads(await request.read())["write"]
    except (ValueError, KeyError, TypeError):
        write = 0
    if write is not None and write not in (WHOLE, FRAME) and not (isinstance(write, int) and write >= 1):
        message = f'expected {{"write": N}} with at least 1 byte, "{WHOLE}", "{FRAME}" or null'
        return web.json_response({"error": message}, status=400)
    request.app[MOCK].write = write
    return web.json_response({"status": "ok", "write": write})


async def _provider_request(request: web.Request) -> web.StreamResponse:
    """Answers a request to a provider and logs it in the journal."""
    mock = request.app[MOCK]
    named = PREFIX.match(request.rel_url.raw_path)
    provider = mock.scenarios.providers.get(named[1]) if named else None
    if named is None or provider is None:
        available = ", ".join(f"/{name}{p.base_path}" for name, p in mock.scenarios.providers.items())
        return web.json_response({"error": f"no provider at {request.path}; available: {available}"}, status=404)
    if named[2]:
        provider = provider.account(named[2])
    below = named[3] or "/"
    provider = provider.speaking(dialect_of(provider, request.method, below.removeprefix(provider.base_path)))
    protocol = MOCK_PROTOCOLS[provider.protocol]
    headers = {name.lower(): value for name, value in request.headers.items()}
    entry = mock.journal.open(
        provider.name, named[2] or provider.name, request.method, request.rel_url.raw_path_qs, headers
    )
    try:
        entry.received = await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"The request is larger than {BODY_LIMIT} bytes."
        return await _send(request, entry, protocol.render_error(Failure(413, "too_large", message), provider), Wire())
    if not below.startswith(f"{provider.base_path}/"):
        message = f"{provider.name} is served under /{provider.name}{provider.base_path}, not {request.path}"
        return await _send(request, entry, protocol.render_error(Failure(404, "not_found", message), provider), Wire())
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    path = below.removeprefix(provider.base_path) + query
    if len(entry.received) > THREAD_THRESHOLD:
        rendered, wire, wait = await asyncio.to_thread(mock.respond, entry, provider, protocol, path)
    else:
        rendered, wire, wait = mock.respond(entry, provider, protocol, path)
    if wait:
        await asyncio.sleep(wait)
    return await _send(request, entry, rendered, wire)


async def _send(request: web.Request, entry: Entry, rendered: RenderedReply, wire: Wire) -> web.StreamResponse:
    """Sends a reply action by action and records every byte sent in the journal entry."""
    entry.status = rendered.status
    headers = {"content-type": CONTENT_TYPES[rendered.framing]} | {k.lower(): v for k, v in rendered.headers.items()}
    entry.reply_headers = headers
    cut = request.app[MOCK].write
    actions = reply_actions(rendered, wire if cut is None else replace(wire, write=cut))
    response = web.StreamResponse(status=rendered.status, headers=headers)
    try:
        for action in actions:
            # The headers are sent with the first write, so that a pause before it delays them too.
            if not isinstance(action, Sleep) and not response.prepared:
                await response.prepare(request)
            match action:
                case Write(data):
                    entry.sent += data
                    await response.write(data)
                    if cut is not None:
                        # The reader gets to run before the next write, as if it were in another process; otherwise all
                        # writes would arrive as one read.
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
                case Sleep(seconds):
                    await asyncio.sleep(seconds)
                case End("eof"):
                    break
                case End("reset"):
                    entry.done = "reset"
                    if request.transport is not None:
                        request.transport.abort()
                    return response
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()
        entry.done = "sent"
        entry.ended = monotonic()
    except (ConnectionError, asyncio.CancelledError) as problem:
        entry.done = "client left"
        entry.ended = monotonic()
        if isinstance(problem, asyncio.CancelledError):
            raise
    return response


async def serve(scenarios: Scenarios, host: str, port: int, conditions: Conditions = NO_CONDITIONS) -> None:
    """Serves until cancelled; prints the address of each provider once the socket is listening."""
    runner = web.AppRunner(
        make_app(scenarios, conditions), access_log=None, handler_cancellation=True, shutdown_timeout=1
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        for name, provider in scenarios.providers.items():
            print(f"{name:18} http://{host}:{bound}/{name}{provider.base_path}  ({provider.protocol})")
        if host in LOOPBACK:
            print(f"{'journal':18} http://{host}:{bound}/ui/")
        print(f"Listening on http://{host}:{bound} with {len(scenarios.stories)} stories", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
