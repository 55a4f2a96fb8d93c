"""The mock over HTTP: every provider on one port, under `/<provider><base path>`. It knows no dialect's words.

A path may name the backend that asks too, `/<provider>@<backend><base path>`: stories can say different things to each,
and each has a key of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from .around import around
from .dialects import DIALECTS
from .dialects.contract import Dialect, Failure, Malformed, Provider, Scene, Spoken, counted, failure
from .dialects.contract import standing as in_force
from .dialects.names import WITHOUT_COMMENTS
from .faults import End, Sleep, Write, early, literal, play, standing
from .frames import CONTENT_TYPES, JSON
from .journal import Entry, Journal
from .match import Match, NearMiss, match
from .offer import as_offered
from .scenario import Scenarios, Story, Wire, asked_length, split

LOG = logging.getLogger("crosswire.mock")

BODY_LIMIT = 64 * 1024 * 1024
"""Bytes of the largest request that is taken: more than any provider does."""

LARGE = 256 * 1024
"""Bytes above which a request is read in a thread, so that it holds up no other answer."""


class Mock:
    """What the server remembers: its scenarios, the journal, and how often each fault was played."""

    def __init__(self, scenarios: Scenarios) -> None:
        self.scenarios = scenarios
        self.journal = Journal()
        self.played: Counter[tuple[str, str, int]] = Counter()

    def reset(self) -> None:
        self.journal.reset()
        self.played.clear()

    # ---- what to answer ----------------------------------------------------------------------------------------------

    def answer(self, entry: Entry, provider: Provider, dialect: Dialect, path: str) -> tuple[Spoken, Wire, float]:
        """The answer to a request, how it is framed, and how long to wait before it."""
        what = dialect.route(entry.method, path)
        said = around(entry, provider, dialect, path, self.journal.entries)
        if isinstance(said, Failure):
            entry.note = f"refused: {said.message}"
            return dialect.say_error(said, provider), Wire(), 0
        if said is not None:
            return _json(said), Wire(), 0
        if what is None:
            message = f"Unknown request URL: {entry.method} {path}. {provider.name} speaks {provider.protocol} here."
            return dialect.say_error(Failure(404, "not_found", message), provider), Wire(), 0
        body: Any = None
        if what != "models":
            try:
                body = entry.body = json.loads(entry.received)
            except (ValueError, RecursionError) as problem:
                entry.note = f"not JSON: {problem}"
                message = f"We could not parse the JSON body of your request: {problem}"
                return dialect.say_error(Failure(400, "bad_request", message), provider), Wire(), 0
        refused = dialect.heed(path, entry.headers, body, provider)
        if refused is not None:
            entry.note = f"refused: {refused.message}"
            story = self._story_of(body)
            if story is not None:
                entry.story = story.name
            return dialect.say_error(refused, provider), Wire(), 0
        if what == "models":
            return _json(dialect.list_models(provider)), Wire(), 0
        if what == "count":
            return _json(dialect.count(body) if dialect.count else {}), Wire(), 0
        return self._play(entry, provider, dialect, path, body)

    def _story_of(self, body: Any) -> Story | None:
        found = match(body, (), self.scenarios.stories)
        return found.story if isinstance(found, Match) else None

    def _play(
        self, entry: Entry, provider: Provider, dialect: Dialect, path: str, body: Any
    ) -> tuple[Spoken, Wire, float]:
        try:
            understood = dialect.read(path, entry.headers, body)
        except Malformed as problem:
            entry.note = f"malformed: {problem}"
            return dialect.say_error(Failure(400, "bad_request", str(problem)), provider), Wire(), 0
        found = match(body, understood.turns, self.scenarios.stories)
        if isinstance(found, NearMiss):
            entry.note = found.message
            LOG.warning("No scenario: %s: %s", provider.name, found.message)
            return dialect.say_error(Failure(400, "bad_request", found.message), provider), Wire(), 0
        story, step = found.story, found.step
        entry.story, entry.step = story.name, step
        LOG.info("Detected scenario: %s/%s", provider.name, story.name)
        exchange, wire = story.exchanges[step], story.wire
        if provider.protocol in WITHOUT_COMMENTS:
            wire = replace(wire, comments=False)
        if provider.protocol in exchange.raw:
            return literal(exchange.raw[provider.protocol], dialect.framing), wire, 0
        said = provider.replies.get(story.name) if step == 0 else None
        said = said or exchange.said_by(entry.backend, provider.name)
        if said is None:
            message = f"the story {story.name} has no words for {entry.backend} (a {provider.name}) at step {step}"
            entry.note = message
            return dialect.say_error(Failure(400, "bad_request", message), provider), Wire(), 0
        played = (entry.backend, story.name, step)
        items, stop, usage = split(standing(said, self.played[played]))
        tools = in_force([(asked.ask, None) for asked in story.exchanges[: step + 1]]).tools
        items = as_offered(items, tools, understood.tools)
        self.played[played] += 1
        first = early(items, understood.stream)
        if first is not None:
            return dialect.say_error(failure(first[0]), provider), Wire(), first[1]
        scene = Scene(
            provider=provider,
            story=story.name,
            step=step,
            model=understood.model or provider.default_model or "",
            stream=understood.stream,
            items=items,
            stop=stop,
            usage=usage or counted(asked_length(story, step), items),
            path=path,
            headers=entry.headers,
            body=body,
        )
        return dialect.say(scene), wire, 0


def _json(value: Any) -> Spoken:
    return Spoken(200, {}, (json.dumps(value).encode(),), JSON)


# ---- HTTP ------------------------------------------------------------------------------------------------------------

MOCK = web.AppKey("mock", Mock)

PREFIX = re.compile(r"^/([^/@]+)(?:@([^/]+))?(/.*)?$")


def make_app(scenarios: Scenarios) -> web.Application:
    """The application, for a runner of one's own; raises ValueError when the scenarios hold mistakes."""
    if scenarios.mistakes:
        raise ValueError("\n".join(map(str, scenarios.mistakes)))
    app = web.Application(client_max_size=BODY_LIMIT)
    app[MOCK] = Mock(scenarios)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/journal", _journal)
    app.router.add_route("*", "/reset", _reset)
    app.router.add_route("*", "/{rest:.*}", _provider)
    return app


async def _healthz(request: web.Request) -> web.Response:
    scenarios = request.app[MOCK].scenarios
    return web.json_response(
        {"status": "ok", "providers": sorted(scenarios.providers), "stories": len(scenarios.stories)}
    )


async def _journal(request: web.Request) -> web.Response:
    """`since` is the first number wanted; `story` and `provider` narrow it."""
    journal = request.app[MOCK].journal
    since = request.query.get("since", "0")
    if not since.isdecimal():
        return web.json_response(
            {"error": f"since={since!r} is not a number; give the last answer's `next`"}, status=400
        )
    entries = [
        entry.plain()
        for entry in journal.since(int(since))
        if all(getattr(entry, key) == request.query[key] for key in ("story", "provider") if key in request.query)
    ]
    return web.json_response({"next": journal.next, "entries": entries})


async def _reset(request: web.Request) -> web.Response:
    if request.method not in ("POST", "DELETE"):
        return web.json_response({"error": "POST /reset empties the journal"}, status=405, headers={"allow": "POST"})
    request.app[MOCK].reset()
    return web.json_response({"status": "ok"})


async def _provider(request: web.Request) -> web.StreamResponse:
    mock = request.app[MOCK]
    named = PREFIX.match(request.rel_url.raw_path)
    provider = mock.scenarios.providers.get(named[1]) if named else None
    if named is None or provider is None:
        played = ", ".join(f"/{name}{p.base_path}" for name, p in mock.scenarios.providers.items())
        return web.json_response({"error": f"nobody is played at {request.path}; played are {played}"}, status=404)
    if named[2]:
        provider = provider.account(named[2])
    dialect = DIALECTS[provider.protocol]
    headers = {name.lower(): value for name, value in request.headers.items()}
    entry = mock.journal.open(
        provider.name, named[2] or provider.name, request.method, request.rel_url.raw_path_qs, headers
    )
    try:
        entry.received = await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"The request is larger than {BODY_LIMIT} bytes."
        return await _send(request, entry, dialect.say_error(Failure(413, "too_large", message), provider), Wire())
    below = named[3] or "/"
    if not below.startswith(f"{provider.base_path}/"):
        message = f"{provider.name} is played under /{provider.name}{provider.base_path}, not {request.path}"
        return await _send(request, entry, dialect.say_error(Failure(404, "not_found", message), provider), Wire())
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    path = below.removeprefix(provider.base_path) + query
    if len(entry.received) > LARGE:
        spoken, wire, wait = await asyncio.to_thread(mock.answer, entry, provider, dialect, path)
    else:
        spoken, wire, wait = mock.answer(entry, provider, dialect, path)
    if wait:
        await asyncio.sleep(wait)
    return await _send(request, entry, spoken, wire)


async def _send(request: web.Request, entry: Entry, spoken: Spoken, wire: Wire) -> web.StreamResponse:
    """Play an answer, keeping every byte that went out."""
    entry.status = spoken.status
    headers = {"content-type": CONTENT_TYPES[spoken.framing]} | {k.lower(): v for k, v in spoken.headers.items()}
    entry.reply_headers = headers
    actions = play(spoken, wire)
    response = web.StreamResponse(status=spoken.status, headers=headers)
    try:
        for action in actions:
            # Nothing is sent before the first write, so that a pause before it delays the headers too.
            if not isinstance(action, Sleep) and not response.prepared:
                await response.prepare(request)
            match action:
                case Write(data):
                    entry.sent += data
                    await response.write(data)
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
    except (ConnectionError, asyncio.CancelledError) as problem:
        entry.done = "client left"
        if isinstance(problem, asyncio.CancelledError):
            raise
    return response


async def serve(scenarios: Scenarios, host: str, port: int) -> None:
    """Play until cancelled; prints where each provider is once the socket listens."""
    runner = web.AppRunner(make_app(scenarios), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        for name, provider in scenarios.providers.items():
            print(f"{name:18} http://{host}:{bound}/{name}{provider.base_path}  ({provider.protocol})")
        print(f"Listening on http://{host}:{bound} with {len(scenarios.stories)} stories", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
