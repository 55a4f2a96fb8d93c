"""The import order of the source tree: which folder may import which, and who may import a library.

`docs/architecture.md` explains the order; a change of a row here is a change of the architecture.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase

import pytest

from .source_tree import imports, matches, modules, own_imports

# ---- floors ----------------------------------------------------------------------------------------------------------

PROXY: tuple[tuple[str, ...], ...] = (
    ("proxy.headers", "proxy.providers", "proxy.known_clients", "proxy.traits.*", "proxy.limits.*", "proxy.balance.*"),
    # the neutral form, what can go wrong with it, and JSON: each names the others' types
    ("proxy.ir.* proxy.errors proxy.wire.*",),
    (
        *("proxy.routing.*", "proxy.resilience.*", "proxy.store.*", "proxy.costs.*"),
        *("proxy.protocols.protocol", "proxy.protocols.schema_targets"),
    ),
    ("proxy.protocols.openai.*", "proxy.observability.*", "proxy.clients.*", "proxy.state.*"),
    (
        "proxy.protocols.openai_chat.*",
        "proxy.protocols.openai_responses.*",
        "proxy.protocols.anthropic.*",
        "proxy.protocols.gemini.*",
        "proxy.protocols.ollama.*",
        "proxy.backends.*",
    ),
    ("proxy.protocols",),
    ("proxy.config.*",),
    ("proxy.gateway.*",),
    ("proxy.endpoints.*",),
    ("proxy.page.*",),
    ("proxy.server.*", "proxy proxy.library", "proxy.embed"),
    ("proxy.workers.*",),
    ("proxy.cli.*",),
    ("proxy.__main__",),
)
"""Imports run from a later floor to an earlier one, never along one; modules of one place may import each other."""

MOCKSERVER: tuple[tuple[str, ...], ...] = (
    ("mockserver", "mockserver.framing", "mockserver.journal", "mockserver.protocols.names"),
    ("mockserver.scenarios.*",),
    (
        *("mockserver.matcher", "mockserver.tool_aliases", "mockserver.example_value"),
        *("mockserver.protocols.reply_context", "mockserver.protocols.strict_schema"),
    ),
    ("mockserver.protocols.rule", "mockserver.faults"),
    ("mockserver.protocols.protocol", "mockserver.protocols.openai_platform", "mockserver.protocols.openai_models"),
    ("mockserver.protocols.json_object", "mockserver.any_reply", "mockserver.conditions"),
    ("mockserver.protocols.message_content",),
    (
        "mockserver.protocols.openai_chat.*",
        "mockserver.protocols.openai_responses.*",
        "mockserver.protocols.anthropic.*",
        "mockserver.protocols.gemini.*",
        "mockserver.protocols.ollama.*",
    ),
    ("mockserver.protocols", "mockserver.endpoints.*"),
    ("mockserver.server", "mockserver.rule_list", "mockserver.sdk_environment", "mockserver.verdict"),
    ("mockserver.verdict_command",),
    ("mockserver.__main__",),
)

CONFORMANCE: tuple[tuple[str, ...], ...] = (
    (
        *("conformance", "conformance.client.*", "conformance.harness.*", "conformance.complaints.*"),
        *("conformance.matrix", "conformance.matrix.expectations"),
        *("conformance.reports", "conformance.reports.pytest_output"),
        *("conformance.snapshots", "conformance.snapshots.store"),
    ),
    ("conformance.matrix.result",),
    ("conformance.checks", "conformance.checks.tool_names", "conformance.checks.signatures"),
    ("conformance.comparison.*",),
    ("conformance.checks.*", "conformance.replay.*", "conformance.snapshots.views"),
    ("conformance.matrix.*",),
    ("conformance.local_model.*", "conformance.target.*", "conformance.plugin.*", "conformance.recording.*"),
    ("conformance.reports.grid", "conformance.reports.classic"),
    ("conformance.reports.*",),
    ("conformance.conftest",),
    ("conformance.test_matrix", "conformance.test_invariants"),
    ("conformance.mutants.*",),
    ("conformance.__main__",),
)

FLOORS = {"proxy": PROXY, "mockserver": MOCKSERVER, "conformance": CONFORMANCE}

ABROAD: dict[str, dict[str, tuple[str, ...]]] = {
    "proxy": {},
    "mockserver": {},
    "conformance": {
        # of the mock its types and its server half; only the test bed runs it
        "mockserver.scenarios.*": ("*",),
        "mockserver.tool_aliases": ("conformance.checks.tool_names", "conformance.comparison.*"),
        "mockserver.framing": ("conformance.client.*",),
        "mockserver.protocols": ("*",),
        "mockserver.protocols.protocol": ("*",),
        "mockserver.protocols.reply_context": ("conformance.checks.*",),
        # wire facts that hold for client and server alike
        "mockserver.protocols.*.tables": ("conformance.client.*",),
        "mockserver.protocols.openai_models": ("conformance.comparison.request",),
        "mockserver.protocols.gemini.message_schema": ("conformance.client.gemini.*",),
        "mockserver.protocols.gemini.parts": ("conformance.client.gemini.*",),
        "mockserver.server": (
            *("conformance.harness.testbed", "conformance.harness.testbed_target"),
            "conformance.plugin.mock_fixture",
        ),
        # what the tests of a user assert about the requests that they made
        "mockserver.journal": ("conformance.plugin.mock_fixture",),
        "mockserver.matcher": ("conformance.plugin.mock_fixture",),
        "mockserver.sdk_environment": ("conformance.plugin.mock_fixture", "conformance.plugin.proxy_fixture"),
        # the words of the rule by which the mock refused what a gateway sent
        "mockserver.protocols.rule": ("conformance.target.exchange",),
        # of the proxy what runs it, and its words for losses; the replay puts recorded traffic through its protocols
        "proxy.server.app": (
            *("conformance.harness.testbed", "conformance.replay.socket_replay"),
            *("conformance.harness.proxy_process", "conformance.mutants.trial", "conformance.plugin.proxy_fixture"),
        ),
        "proxy.server.lifecycle": (
            *("conformance.harness.proxy_process", "conformance.plugin.proxy_fixture"),
            "conformance.replay.socket_replay",
        ),
        "proxy.protocols": ("conformance.replay.*",),
        "proxy.protocols.protocol": ("conformance.replay.*",),
        "proxy.wire.framing": ("conformance.replay.*",),
        "proxy.errors": (
            *("conformance.harness.testbed", "conformance.harness.proxy_process"),
            "conformance.replay.*",
        ),
        "proxy.ir": ("conformance.replay.*",),
        "proxy.ir.loss_tables": ("conformance.replay.*",),
    },
}
"""Of each package: the modules of the other two that it may import, and which of its own may."""

ONLY_NAMES = {"proxy.server.app": {"make_app"}, "proxy.server.lifecycle": {"make_runner"}}
"""The names that another package may import from a module, where that is not all of them."""

LIBRARIES: dict[str, tuple[str, ...]] = {
    "msgspec": ("*",),
    "aiohttp": (
        *(
            "proxy.server.*",
            "proxy.workers.worker",
            "proxy.backends.aiohttp_transport",
            "proxy.backends.media_fetch",
            "mockserver.server",
        ),
        "mockserver.verdict_command",
        *("conformance.harness.*", "conformance.replay.socket_replay"),
        *("conformance.plugin.loop_thread", "conformance.plugin.mock_fixture"),
        *("conformance.recording.recorder", "conformance.recording.__main__"),
    ),
    "aiohappyeyeballs": ("proxy.backends.name_resolution", "proxy.backends.aiohttp_transport"),
    "yarl": ("proxy.backends.aiohttp_transport", "proxy.backends.media_fetch", "proxy.config.urls"),
    "brotli": ("proxy.wire.content_coding",),
    "backports": ("proxy.wire.content_coding",),
    "compression": ("proxy.wire.content_coding",),  # the standard library's from 3.14 on
    "httptools": ("proxy.backends.httptools_transport", "proxy.server.plain_chat"),
    "uvloop": ("proxy.cli.serve",),
    # the extra `local`, imported with the first request to such a backend, on its engine's thread
    "mlx_lm": tuple(f"proxy.backends.mlx.{name}" for name in ("runtime", "prompt_cache", "detokenizer")),
    "mlx": tuple(f"proxy.backends.mlx.{name}" for name in ("runtime", "sampling", "logits_processor")),
    "llguidance": tuple(f"proxy.backends.mlx.{name}" for name in ("runtime", "logits_processor")),
    "numpy": tuple(f"proxy.backends.mlx.{name}" for name in ("logits_processor", "prompt_cache")),
    "jinja2": ("proxy.backends.mlx.runtime",),
    "prometheus_client": ("proxy.observability.metrics", "proxy.observability.metrics_sum"),
    "redis": ("proxy.state.connection",),  # the extra `state`
    "sqlalchemy": ("proxy.store.*", "proxy.cli.store", "proxy.cli.store_access", "proxy.cli.clients"),
    "asyncpg": ("proxy.store.database",),
    "cryptography": ("proxy.store.crypto",),
    "jwt": ("proxy.clients.tokens",),  # the extra `jwt`
    "yaml": (
        *("proxy.config.*", "proxy.costs.price_list", "proxy.page.story", "mockserver.scenarios.yaml_reader"),
        *(
            "conformance.matrix.expectations",
            "conformance.harness.testbed",
            "conformance.complaints.catalogue",
            "conformance.local_model.expectations",
            "conformance.mutants.*",
        ),
        *("conformance.replay.socket_replay", "conformance.replay.bars", "conformance.plugin.proxy_fixture"),
        "conformance.recording.story_writer",
    ),
    "jsonschema": ("conformance.local_model.checks",),
    "jsonpath_ng": ("mockserver.scenarios.story_parser", "conformance.checks.exchange"),
    "pytest": ("conformance.*",),
    "syrupy": ("conformance.snapshots.store", "conformance.test_matrix"),
    # the official SDKs' types validate the replay, and nothing else here
    "openai": ("conformance.replay.sdk_types",),
    "anthropic": ("conformance.replay.sdk_types",),
    "google": ("conformance.replay.sdk_types",),
    "ollama": ("conformance.replay.sdk_types",),
    "pydantic": ("conformance.replay.sdk_types",),
    "pydantic_core": ("conformance.replay.sdk_types",),
}
"""The modules that may import a third-party package, by package."""

PURE = (
    *("proxy.ir*", "proxy.errors", "proxy.wire*", "proxy.headers", "proxy.providers", "proxy.resilience*"),
    *("proxy.routing*", "proxy.protocols*", "proxy.gateway.relay", "proxy.gateway.answer_quality"),
    *("proxy.gateway.loss_policy", "proxy.gateway.forwarded_headers"),
    *("mockserver.scenarios.model", "mockserver.scenarios.story", "mockserver.scenarios.provider"),
    *("mockserver.framing", "mockserver.protocols*", "mockserver.matcher", "mockserver.tool_aliases"),
    *("mockserver.any_reply", "mockserver.example_value"),
)
"""Modules without clock, random numbers, sockets, files or processes: the same arguments give the same answer."""

IMPURE = {
    *("asyncio", "io", "logging", "os", "pathlib", "random"),
    *("secrets", "socket", "subprocess", "threading", "time", "uuid"),
}


def place_of(module: str) -> tuple[int, str] | None:
    """The floor of a module and its place on it; None where it has none."""
    for floor, places in enumerate(FLOORS[module.partition(".")[0]]):
        for place in places:
            if any(matches(name, module) for name in place.split()):
                return floor, place
    return None


def names_of_places() -> list[str]:
    return [name for floors in FLOORS.values() for places in floors for place in places for name in place.split()]


# ---- the order holds -------------------------------------------------------------------------------------------------


def test_every_module_has_its_place() -> None:
    without = [module for module in modules() if place_of(module) is None]
    assert not without, "give each a floor in PROXY, MOCKSERVER or CONFORMANCE"


def test_every_place_is_a_module() -> None:
    names = names_of_places()
    assert len(names) == len(set(names))
    assert [name for name in names if not any(matches(name, module) for module in modules())] == []


@pytest.mark.parametrize("module", modules())
def test_imports_run_downward(module: str) -> None:
    here = place_of(module)
    assert here is not None
    for target, _ in own_imports(module):
        if target.partition(".")[0] != module.partition(".")[0]:
            continue
        there = place_of(target)
        assert there is not None, f"{target} is no module of the tree"
        assert there[0] < here[0] or there == here, f"{module} imports {target}, which stands beside or above it"


@pytest.mark.parametrize("module", modules())
def test_programs_keep_apart(module: str) -> None:
    top = module.partition(".")[0]
    for target, name in own_imports(module):
        if target.partition(".")[0] == top:
            continue
        allowed = [user for pattern, users in ABROAD[top].items() if matches(pattern, target) for user in users]
        assert any(matches(pattern, module) for pattern in allowed), f"{module} imports {target}"
        assert name in ONLY_NAMES.get(target, {name}) or not name, f"{module} imports {name} of {target}"


@pytest.mark.parametrize("module", modules())
def test_libraries_have_their_users(module: str) -> None:
    for target, _ in imports(module):
        library = target.partition(".")[0]
        if library in FLOORS or library in sys.stdlib_module_names:
            continue
        assert library in LIBRARIES, f"{module} imports {library}, which has no row in LIBRARIES"
        assert any(matches(pattern, module) for pattern in LIBRARIES[library]), f"{module} imports {library}"


def test_every_library_is_used_where_it_may_be() -> None:
    rows = {(library, pattern) for library, patterns in LIBRARIES.items() for pattern in patterns}
    used = {
        (library, pattern)
        for library, pattern in rows
        if any(
            matches(pattern, module) and any(target.partition(".")[0] == library for target, _ in imports(module))
            for module in modules()
        )
    }
    assert rows == used


@pytest.mark.parametrize("pattern", PURE)
def test_pure_modules(pattern: str) -> None:
    chosen = [module for module in modules() if fnmatchcase(module, pattern)]
    assert chosen
    for module in chosen:
        seen = {target.partition(".")[0] for target, _ in imports(module)} & IMPURE
        assert not seen, f"{module} imports {seen}"
