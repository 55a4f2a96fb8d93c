"""The proxy inside a Python program: clients made once, answers and streams of every protocol, one router, closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crosswire.proxy import library
from crosswire.proxy.config import Config, load
from crosswire.proxy.errors import ConfigError
from crosswire.proxy.library import BackendRouter, Body, RouteError, Stream, StreamBroken, get_router, reset_router

from .proxy_fixture import KEY, config, one
from .sample_messages import PROTOCOLS, TEXT, ask, dumps, reply, said, stream, stream_kind, text_of
from .scripted_upstream import LAST, Upstream, chunk, chunked, head, http, upstream

DEAD = "http://127.0.0.1:9"


@pytest.fixture
async def routers() -> AsyncIterator[list[BackendRouter]]:
    """Routers to close after the test."""
    made: list[BackendRouter] = []
    yield made
    for router in made:
        await router.close()


# ---- client creation -------------------------------------------------------------------------------------------------

BACKENDS = (
    "backends: {openai: {api_key: k}, mine: {provider: anthropic, api_key: k},"
    " box: {protocol: ollama, base_url: 'http://box.example:1'}, groq: {}}"
)


@pytest.mark.parametrize(
    ("name", "backend", "url"),
    [
        pytest.param("openai", "openai", "https://api.openai.com/v1", id="create"),
        pytest.param("OpenAI", "openai", "https://api.openai.com/v1", id="any case"),
        pytest.param("claude", "mine", "https://api.anthropic.com", id="by its provider's alias"),
        pytest.param("box", "box", "http://box.example:1", id="custom URL"),
    ],
)
async def test_a_client_is_made_once(name: str, backend: str, url: str, routers: list[BackendRouter]) -> None:
    routers.append(router := BackendRouter(load(BACKENDS, "c.yaml", {})))
    client = router.client(name)
    assert (client.config.name, client.config.base_url) == (backend, url)
    assert router.client(name) is client
    assert router.client(backend) is client


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("groq", "No credentials configured for groq", id="no key"),
        pytest.param("nobody", "no backend is called 'nobody'; there are openai, mine, box, groq", id="unknown type"),
    ],
)
async def test_a_client_that_cannot_be(name: str, says: str, routers: list[BackendRouter]) -> None:
    routers.append(router := BackendRouter(load(BACKENDS, "c.yaml", {})))
    with pytest.raises(ConfigError, match=says):
        router.client(name)


async def test_connections_are_kept(routers: list[BackendRouter]) -> None:
    async with upstream([http(dumps(reply("ollama")))]) as up:
        routers.append(router := BackendRouter(config(one("ollama", up.url))))
        for _ in range(3):
            await router.route_request("ollama", ask("ollama"))
        assert (len(up.requests), up.connections) == (3, 1)


# ---- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["anthropic", "openai-chat"])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_an_answer_in_one_piece(frontend: str, backend: str, routers: list[BackendRouter]) -> None:
    async with upstream([http(dumps(reply(backend)))]) as up:
        routers.append(router := BackendRouter(config(one(backend, up.url))))
        answer = await router.route_request(frontend, ask(frontend), model="m")
    assert isinstance(answer, Body)
    assert text_of(frontend, dumps(answer)) == TEXT
    assert answer.headers["x-crosswire-backend"] == "b"
    assert KEY in str(up.requests[0].headers)


@pytest.mark.parametrize("backend", ["anthropic", "openai-chat"])
@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_a_stream(frontend: str, backend: str, routers: list[BackendRouter]) -> None:
    async with upstream(chunked(stream(backend), stream_kind(backend))) as up:
        routers.append(router := BackendRouter(config(one(backend, up.url))))
        answer = await router.route_request(frontend, ask(frontend, stream=True), model="m", stream=True)
        assert isinstance(answer, Stream)
        raw = b"".join([piece async for piece in answer])
    assert said(frontend, raw) == TEXT
    assert answer.headers["x-crosswire-backend"] == "b"
    await answer.aclose()


async def test_bytes_and_headers_are_taken_as_over_http(routers: list[BackendRouter]) -> None:
    async with upstream([http(dumps(reply("ollama")))]) as up:
        backends = {"a": {"protocol": "anthropic", "base_url": DEAD}, **one("ollama", up.url)}
        routers.append(router := BackendRouter(config(backends)))
        answer = await router.route_request("ollama", dumps(ask("ollama")), headers={"X-Crosswire-Backend": "b"})
    assert isinstance(answer, Body)
    assert answer.headers["x-crosswire-backend"] == "b"


@pytest.mark.parametrize("frontend", PROTOCOLS)
async def test_a_refusal_is_an_exception(frontend: str, routers: list[BackendRouter]) -> None:
    routers.append(router := BackendRouter(load(BACKENDS, "c.yaml", {})))
    with pytest.raises(RouteError) as caught:
        await router.route_request(frontend, ask(frontend, model="groq/x"), model="groq/x")
    assert caught.value.status == 502
    assert "No credentials configured for groq" in str(caught.value)
    assert "error" in caught.value.body
    assert caught.value.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", {"model": 7}])
async def test_a_body_that_is_no_request(body: bytes | dict[str, object], routers: list[BackendRouter]) -> None:
    routers.append(router := BackendRouter(config(one("ollama", DEAD))))
    with pytest.raises(RouteError) as caught:
        await router.route_request("openai-chat", body)
    assert caught.value.status == 400


async def test_a_protocol_that_is_none(routers: list[BackendRouter]) -> None:
    routers.append(router := BackendRouter(config(one("ollama", DEAD))))
    with pytest.raises(ConfigError, match="unknown protocol 'openai'; known: openai-chat"):
        await router.route_request("openai", {})


# ---- streams that end before their end -------------------------------------------------------------------------------


async def test_a_stream_that_breaks_says_so(routers: list[BackendRouter]) -> None:
    frames = stream("anthropic")
    async with upstream([head(), *(chunk(frame) for frame in frames[:4]), "close"]) as up:
        routers.append(router := BackendRouter(config(one("anthropic", up.url))))
        answer = await router.route_request("openai-chat", ask("openai-chat", stream=True))
        assert isinstance(answer, Stream)
        pieces: list[bytes] = []
        with pytest.raises(StreamBroken):
            await _read(answer, pieces)
    assert b"error" in pieces[-1]


async def _read(answer: Stream, pieces: list[bytes]) -> None:
    async for piece in answer:
        pieces.append(piece)


async def _held() -> tuple[object, ...]:
    return (head(), *(chunk(frame) for frame in stream("anthropic")[:4]), "hold")


@pytest.mark.parametrize("way", ["aclose", "leave the loop", "close the router", "cancel"])
async def test_who_leaves_a_stream_ends_the_backends_work(way: str, routers: list[BackendRouter]) -> None:
    async with upstream(await _held()) as up:
        routers.append(router := BackendRouter(config(one("anthropic", up.url))))
        answer = await router.route_request("openai-chat", ask("openai-chat", stream=True))
        assert isinstance(answer, Stream)
        pieces = answer.__aiter__()
        assert await anext(pieces)
        if way == "aclose":
            await answer.aclose()
        elif way == "leave the loop":
            await pieces.aclose()  # type: ignore[attr-defined] - what a `break` does, in the end
        elif way == "close the router":
            await router.close()
        else:
            reading = asyncio.ensure_future(_read(answer, []))
            await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await asyncio.wait_for(up.left.wait(), 5)


async def test_who_waits_no_more_ends_the_backends_work(routers: list[BackendRouter]) -> None:
    async with upstream(["hold"]) as up:
        routers.append(router := BackendRouter(config(one("anthropic", up.url))))
        waiting = asyncio.ensure_future(router.route_request("openai-chat", ask("openai-chat")))
        await asyncio.wait_for(up.heard.wait(), 5)
        waiting.cancel()
        await asyncio.wait_for(up.left.wait(), 5)
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_slow_reader_loses_nothing(routers: list[BackendRouter]) -> None:
    words = tuple(f"{number} " for number in range(200))
    async with upstream([head(), *(chunk(frame) for frame in stream("anthropic", words=words)), LAST]) as up:
        routers.append(router := BackendRouter(config(one("anthropic", up.url))))
        answer = await router.route_request("anthropic", ask("anthropic", stream=True))
        assert isinstance(answer, Stream)
        await asyncio.sleep(0.05)
        raw = b"".join([piece async for piece in answer])
    assert said("anthropic", raw) == "".join(words)


# ---- singleton -------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config, and no router yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library, "_router", None)
    monkeypatch.delenv("CROSSWIRE_STORE", raising=False)
    (tmp_path / "crosswire.yaml").write_text("backends: {first: {provider: ollama}}\n")
    return tmp_path


async def test_one_router_for_the_program(alone: Path) -> None:
    router = get_router()
    assert get_router() is router
    assert [backend.name for backend in router.config.plan.backends] == ["first"]
    (alone / "crosswire.yaml").write_text("backends: {second: {provider: ollama}}\n")
    assert get_router() is router
    await reset_router()
    assert get_router() is not router
    assert [backend.name for backend in get_router().config.plan.backends] == ["second"]
    await reset_router()
    await reset_router()


async def test_without_a_file_the_environment_says_it(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (alone / "crosswire.yaml").unlink()
    monkeypatch.setenv("MISTRAL_API_KEY", "k")
    assert "mistral" in [backend.name for backend in get_router().config.plan.backends]
    await reset_router()


async def test_the_store_lies_over_the_file(alone: Path) -> None:
    from crosswire.proxy.store import mappings
    from crosswire.proxy.store.database import Store

    store = Store(f"sqlite:///{alone}/crosswire.db", {})
    async with store.writing() as connection:
        await mappings.add(connection, "small", "first", "llama3.2")
    await store.close()
    assert [route.match for route in get_router().config.plan.routes] == ["small"]
    await reset_router()


# ---- close -----------------------------------------------------------------------------------------------------------


async def test_close() -> None:
    unused = BackendRouter(config(one("ollama", DEAD)))
    await unused.close()  # none is harmless
    async with upstream([http(dumps(reply("ollama")))]) as up:
        router = BackendRouter(config(one("ollama", up.url)))
        await router.route_request("ollama", ask("ollama"))
        await router.close()
        await asyncio.wait_for(_no_more(up), 5)
        await router.close()  # twice is harmless
        await router.route_request("ollama", ask("ollama"))  # and it is reachable again
        assert up.connections == 2
        await router.close()


async def _no_more(up: Upstream) -> None:
    assert up.connections == 1


def test_a_path_is_a_config_too(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {b: {provider: ollama}}\n")
    for way in (file, str(file)):
        assert isinstance(BackendRouter(way).config, Config)
    with pytest.raises(ConfigError, match="cannot be read"):
        BackendRouter(tmp_path / "none.yaml")


# ---- where it is imported from ---------------------------------------------------------------------------------------


def test_the_package_exports_the_python_api() -> None:
    import crosswire.proxy

    for name in crosswire.proxy.__all__:
        assert getattr(crosswire.proxy, name) is getattr(library, name)
        assert getattr(library, name).__doc__
    with pytest.raises(AttributeError, match=r"'crosswire\.proxy' has no attribute 'nothing'"):
        crosswire.proxy.nothing  # noqa: B018 - the look-up itself is tested


def test_the_old_import_says_where_it_went() -> None:
    with pytest.raises(ImportError, match=r"from crosswire\.proxy import BackendRouter"):
        import crosswire.proxy.embed  # noqa: F401
