"""Writes the generated pages of the documentation: `python docs/generate.py`, or `--check` to only compare.

The pages are configuration-keys.md, commands.md, losses.md, complaints.md, faults.md, mock-rules.md and mutants.md, and
the sections of architecture.md, clients.md and observability.md between markers. They are drawn from the project's own
tables, and so are the JSON Schemas in `schemas/`, which the first line of every scenario names. The suite writes the
matrix's page.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from crosswire.conformance.__main__ import main as conformance_main
from crosswire.conformance.matrix.expectations import expectations_schema
from crosswire.conformance.mutants.mutant import Mutant
from crosswire.conformance.mutants.table import DIRECTIONS, PROTOCOLS, read_table
from crosswire.conformance.target.cli import run_schema
from crosswire.conformance.target.profile_parser import profile_schema
from crosswire.mockserver.__main__ import main as mock_main
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.anthropic.model_traits import FAMILIES as CLAUDE_FAMILIES
from crosswire.mockserver.protocols.gemini.model_traits import FAMILIES as GEMINI_FAMILIES
from crosswire.mockserver.protocols.openai_models import FAMILIES as OPENAI_FAMILIES
from crosswire.mockserver.protocols.rule import Rule
from crosswire.mockserver.scenarios.json_schema import provider_schema, story_schema
from crosswire.proxy.cli import store
from crosswire.proxy.cli.config_source import config_of
from crosswire.proxy.cli.main import STORE_COMMANDS
from crosswire.proxy.cli.main import main as proxy_main
from crosswire.proxy.config import PROTOCOL_SPECS
from crosswire.proxy.config.json_schema import config_schema
from crosswire.proxy.config.precedence import FILE_ONLY, VARIABLES
from crosswire.proxy.config.reference import KEYS_REFERENCE, SECTIONS, KeyInfo, section_of
from crosswire.proxy.ir import CAPABILITIES
from crosswire.proxy.ir.loss_tables import FIELD_FEATURES, LOSS_RULES
from crosswire.proxy.ir.repairs import REPAIRS
from crosswire.proxy.ir.stream_losses import EXTENSION, MOST_TOLD
from crosswire.proxy.known_clients import CLIENTS, Client, fill, setup_of
from crosswire.proxy.observability.metrics import Metrics
from crosswire.proxy.observability.span_names import SPAN_NAMES
from crosswire.proxy.providers import PROVIDERS, Provider

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the tables of the tests

from tests.source_tree import modules  # noqa: E402
from tests.test_floors import FLOORS  # noqa: E402

DOCS = ROOT / "docs"
EXPECTATIONS = ROOT / "conformance/matrix/expectations.yaml"
FAULTS = ROOT / "docs/faults.yaml"
CATALOGUE = ROOT / "conformance/complaints/catalogue.yaml"
COMMAND = "python docs/generate.py"
NOTE = f"<!-- Written by `{COMMAND}`; edit the tables that it reads, not this page. -->"


# ---- Markdown --------------------------------------------------------------------------------------------------------


def code(text: object) -> str:
    """Text as code; empty for None."""
    return "" if text is None else f"`{text}`"


def codes(words: Iterable[object]) -> str:
    return ", ".join(code(word) for word in words)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; pipes in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(title: str, *parts: str) -> str:
    return "\n\n".join((NOTE, f"# {title}", *parts)) + "\n"


# ---- configuration-keys.md -------------------------------------------------------------------------------------------


def configuration_keys() -> str:
    parts = [
        "Every key of `crosswire.yaml`, with its type, its default and an example. In a path, `*` is a name that you "
        "choose and `[]` an entry of a list. An unknown key is an error when the proxy starts; `crosswire check` shows "
        "all errors at once.",
        "A value may hold `${NAME}` or `${NAME:-default}`, which is replaced by an environment variable.",
    ]
    for prefix, (title, text) in SECTIONS.items():
        rows = [key_row(info) for info in KEYS_REFERENCE if section_of(info.path) == prefix]
        parts += [f"## {title}", text, table(("key", "type", "default", "example", "meaning"), rows)]
    variables = table(("variable", "key"), [(code(name), code(key)) for name, key in VARIABLES.items()])
    file_only = table(("key", "why"), [(code(key), why) for key, why in sorted(FILE_ONLY.items())])
    parts += [
        *("## Environment variables", "These variables set a key; they override the file.", variables),
        *("## Keys that the store cannot hold", "`crosswire settings add` takes any other key.", file_only),
        *("## Capabilities", "The words in `capabilities`.", table(("word", "meaning"), word_rows(CAPABILITIES))),
    ]
    for name, spec in PROTOCOL_SPECS.items():
        if spec.quirks or spec.limits:
            parts.append(f"## Quirks and limits of {name}")
        if spec.quirks:
            parts.append(table(("quirk", "the host …"), word_rows(spec.quirks)))
        if spec.limits:
            parts.append(
                table(("limit", "default"), [(code(key), f"{value:g}") for key, value in sorted(spec.limits.items())])
            )
    rows = [
        (code(p.name), codes(p.aliases), spoken_by(p), p.base_url or "each account's own", code(p.key_variable))
        for p in PROVIDERS
    ]
    parts += [
        "## Providers",
        "A backend with one of these names, or with `provider: NAME`, needs no other key.",
        table(("name", "also", "protocols", "address", "key from"), rows),
    ]
    return page("Configuration keys", *parts)


def spoken_by(provider: Provider) -> str:
    return ", ".join((provider.protocol, *(each.protocol for each in provider.speaks)))


def key_row(info: KeyInfo) -> tuple[str, ...]:
    name = info.path.rpartition(".")[2]
    default = info.without if info.default is None else code(info.default)
    return code(name), info.type, default, code(f"{name}: {info.example}"), info.meaning


def word_rows(words: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(code(word), meaning) for word, meaning in words.items()]


# ---- commands.md -----------------------------------------------------------------------------------------------------


class Parsed(Exception):
    """Carries the parser that a program made, in place of the arguments that it would have parsed."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def parser_of(main: Callable[[Sequence[str]], object], *argv: str) -> argparse.ArgumentParser:
    """The parser with which a program parses these arguments."""

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise Parsed(parser)

    with patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            main(list(argv))
        except Parsed as found:
            return found.parser
    raise RuntimeError("the program parsed nothing")


def commands() -> str:
    parts = ["Each program prints the same with `--help`."]
    crosswire = parser_of(proxy_main)
    parts += ["## crosswire", f"{crosswire.description}"]
    for name, text, command in subcommands(crosswire):
        if name not in STORE_COMMANDS:
            parts += command_parts(f"crosswire {name}", text, command)
    for name in STORE_COMMANDS:
        group = parser_of(lambda argv, name=name: store.main(name, argv, config_of))  # type: ignore[misc]
        parts += command_parts(group.prog, group.description or "", group)
        for verb, text, command in subcommands(group):
            parts += command_parts(f"{group.prog} {verb}", text, command, level=4)
    parts += ["## crosswire-mock", *command_parts("crosswire-mock", "", parser_of(mock_main))]
    parts += command_parts("crosswire-mock check", "", parser_of(mock_main, "check"))
    parts += command_parts("crosswire-mock rules", "", parser_of(mock_main, "rules"))
    parts += command_parts("crosswire-mock verdict", "", parser_of(mock_main, "verdict"))
    parts += command_parts("crosswire-mock record", "", parser_of(mock_main, "record"))
    parts += ["## crosswire-matrix", *command_parts("crosswire-matrix run", "", parser_of(conformance_main, "run"))]
    parts += command_parts("crosswire-matrix show", "", parser_of(conformance_main, "show"))
    parts += command_parts("crosswire-matrix report", "", parser_of(conformance_main, "report"))
    parts += command_parts("crosswire-matrix leaderboard", "", parser_of(conformance_main, "leaderboard"))
    for verb in ("new", "check"):
        parts += command_parts(f"crosswire-matrix profile {verb}", "", parser_of(conformance_main, "profile", verb))
    parts += command_parts("crosswire-matrix replay", "", parser_of(conformance_main, "replay"))
    parts += command_parts("crosswire-matrix mutants", "", parser_of(conformance_main, "mutants"))
    return page("Commands", *parts)


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, help text and parser of each subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, choice.help or "", action.choices[choice.dest]


def command_parts(name: str, text: str, parser: argparse.ArgumentParser, level: int = 3) -> list[str]:
    """The heading, the description and the table of arguments of one command."""
    rows = [
        (code(signature(action)), argument_help(action))
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    description = parser.description or text
    parts = [f"{'#' * level} {name}", f"{description[:1].upper()}{description[1:].rstrip('.')}."]
    return [*parts, table(("argument", "meaning"), rows)] if rows else parts


def signature(action: argparse.Action) -> str:
    """An argument as its usage shows it: `--name VALUE`, `[FILE]`, `{a,b}`."""
    value = "" if action.nargs == 0 else str(action.metavar or (action.dest.upper() if action.option_strings else ""))
    if action.choices is not None and action.metavar is None:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if action.nargs == "*":
        value = f"[{value} ...]"
    if action.nargs == argparse.REMAINDER:
        return value
    if action.option_strings:
        return " ".join(filter(None, (", ".join(action.option_strings), value)))
    shown = value or action.dest
    return f"[{shown}]" if action.nargs == "?" else shown


def argument_help(action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": ""}
    default = action.default
    if isinstance(default, Path):
        default = default.relative_to(ROOT) if default.is_relative_to(ROOT) else default
    if action.required and action.option_strings:
        text = f"{text} (required)".strip()
    elif "default" not in text and default not in (None, False, 0, [], argparse.SUPPRESS) and action.nargs != 0:
        text = f"{text} (default: {code(default)})".strip()
    return text


# ---- losses.md -------------------------------------------------------------------------------------------------------

SIDES = {
    ("backend", "losses"): "Losses of a request to such a backend",
    ("backend", "refuses"): "Requests that such a backend is never given",
    ("frontend", "losses"): "Losses of a reply to such a client",
    ("frontend", "refuses"): "Replies that such a client is never given",
}
"""The parts of a protocol's expectations that the page shows, and their titles."""


LATE_LOSSES = (
    "## Losses that come late in a stream",
    "The headers of a stream name the losses of the request and those before the first content. A later one is told in "
    f"the stream's last event, under the key `{EXTENSION}`; where the headers could tell of all, there is no such key. "
    "A response that was [held open](reliability.md) and a turn of a WebSocket have no header for losses, so the key "
    "tells of all of them.",
    table(
        ("client", "where it stands", "in a stream that fails"),
        (
            ("Chat Completions, completions", "in `usage` of the last chunk, else on the chunk", "in `error`"),
            ("Responses", "in `response` of the last event", "in `response` of `response.failed`"),
            ("Anthropic", "on `message_delta`", "beside `error`"),
            ("Gemini", "in `usageMetadata` of the last chunk, else on the chunk", "beside `error`"),
            ("Ollama", "on the line with `done`", "beside `error`"),
        ),
    ),
    '```json\n{"crosswire_losses": [{"word": "citations", "path": "blocks[1].citations", "how": "dropped"}]}\n```',
    "`word` is one of the table above, `path` and `how` (`dropped` or `approximated`) are those of the record; no text "
    f"of the conversation is in it. Beyond {MOST_TOLD} losses every word is there at least once, and the last entry is "
    '`{"left_out": 7}` with the number of the others.',
    "No official SDK for Python breaks on the key. The one of OpenAI shows it as an extra field of `usage`, of the "
    "chunk, of the response, or in an error's `body`; that of Anthropic on the raw event and in an error's `body`; "
    "that of Google in an error's `details` alone, and that of Ollama nowhere. A relayed stream is left as it is, and "
    "an answer in one piece has the header. Where `response_headers` leaves `x-crosswire-loss` out, there is no key.",
)
"""The part of the page about what the headers of a stream cannot tell."""


def losses() -> str:
    fields: dict[str, list[str]] = {}
    for field, feature in FIELD_FEATURES.items():
        fields.setdefault(feature, []).append(field)
    rows = [
        (code(feature), rule.action, rule.meaning, codes(fields.get(feature, ())))
        for feature, rule in LOSS_RULES.items()
    ]
    parts = [
        "A loss is something that a request or a reply says and that the other side's protocol cannot. It has one of "
        f"these {len(LOSS_RULES)} words, the same one in the header `x-crosswire-loss`, in the record, in the metric "
        "`crosswire_losses_total`, in `crosswire convert` and in the matrix.",
        "**refuse**: a backend that cannot take it gets no such request. **drop**: it is left out. **approximate**: "
        "the nearest that the target has takes its place. The key `ledger` changes the action of single words, and the "
        "header `x-crosswire-strict: 1` makes every loss an error.",
        table(("word", "by default", "what it is", "fields"), rows),
        *LATE_LOSSES,
        "## What each protocol cannot express",
        f"From [{EXPECTATIONS.name}](../{EXPECTATIONS.relative_to(ROOT)}), by which the suite judges: a loss or a "
        "refusal that is not listed there fails, and so does a listed one that did not happen or was not declared.",
    ]
    repairs = [
        "## What is repaired",
        "What a client or a backend sends although it breaks its protocol is understood where its meaning is plain, "
        "and sent on as it should be. That is no loss; the list `repaired` of the record names it.",
        table(("word", "what was done"), ((code(name), meaning) for name, meaning in REPAIRS.items())),
    ]
    for name, sides in yaml.safe_load(EXPECTATIONS.read_text("utf-8"))["protocols"].items():
        parts.append(f"### {name}")
        for (side, kind), title in SIDES.items():
            allowed = sides.get(side, {}).get(kind, {})
            if allowed:
                parts += [
                    f"**{title}**",
                    table(("word", "what is lost", "the vendor's rule", "source"), allowance_rows(allowed)),
                ]
    return page("Losses", *parts, *repairs)


def allowance_rows(allowed: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """A row for each rule: all words that it allows, and the paths of what is lost."""
    words: dict[tuple[str, str], dict[str, None]] = {}
    paths: dict[tuple[str, str], dict[str, None]] = {}
    for word, entries in allowed.items():
        for entry in entries if isinstance(entries, list) else [entries]:
            rule = entry["rule"], entry["url"]
            words.setdefault(rule, {})[word] = None
            paths.setdefault(rule, {}).update(
                dict.fromkeys(path for case in entry.get("cases", ()) for path in case["paths"])
            )
    for (rule, url), names in words.items():
        yield codes(names), codes(paths[rule, url]), rule, f"<{url}>"


# ---- complaints.md ---------------------------------------------------------------------------------------------------


def complaints() -> str:
    text = CATALOGUE.read_text("utf-8")
    cases: dict[str, dict[str, Any]] = yaml.safe_load(text)
    parts = [
        "What users of LLM gateways have reported, what must be on the wire instead, and what holds it here: stories, "
        "which the matrix plays with every client and provider, and tests.",
        f"{len(cases)} cases; from [{CATALOGUE.name}](../{CATALOGUE.relative_to(ROOT)}).",
    ]
    for title, names in sections_of(text):
        rows = [complaint_row(name, cases[name]) for name in names]
        parts += [
            f"## {title[:1].upper()}{title[1:]}",
            table(("case", "what must hold", "seen in", "held by"), rows),
        ]
    return page("Complaints", *parts)


def sections_of(text: str) -> list[tuple[str, list[str]]]:
    """The catalogue's sections, which its comments name, and the ids of the cases in each."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if head := re.fullmatch(r"# -+ (.+?) -+", line):
            found.append((head[1], []))
        elif case := re.match(r"(\w+):", line):
            found[-1][1].append(case[1])
    return found


def complaint_row(name: str, case: Mapping[str, Any]) -> tuple[str, ...]:
    must = case["must"]
    for key, prefix in (("without", "Without"), ("non_goal", "No goal:")):
        if key in case:
            must = f"{must} {prefix} {case[key]}"
    held = [f"[{story}](../scenarios/stories/{story}.yaml)" for story in case.get("stories", ())]
    files = dict.fromkeys(test.partition("::")[0] for test in case.get("tests", ()))
    held += [f"[{Path(file).name}](../{file})" for file in files]
    return name, must, case.get("seen", ""), ", ".join(held)


# ---- mock-rules.md ---------------------------------------------------------------------------------------------------


def mock_rules() -> str:
    count = sum(len(found.rules) for found in MOCK_PROTOCOLS.values())
    own = sum(rule.own_words for found in MOCK_PROTOCOLS.values() for rule in found.rules)
    parts = [
        f"The [mock server](mock-server.md) refuses what the real providers refuse, by these {count} rules; "
        "`crosswire-mock rules` lists them too. Each has a test that breaks it and one that just passes. The message "
        f"is the vendor's own, with placeholders in braces, but for {own} whose wording is not known (*our words*). "
        "The date says when the source was read. Hosts with the habit `ignores_unknown` do without the rules marked "
        "*lenient*.",
    ]
    for name, found in MOCK_PROTOCOLS.items():
        parts += [
            f"## {name}",
            table(("rule", "what the vendor says", "status and message", "source"), map(mock_rule_row, found.rules)),
        ]
    parts += [
        "## Models",
        "What single models take, the first pattern that matches; a model of no pattern takes everything.",
        *("### OpenAI models", table(("model", "efforts", "also", "source"), map(openai_model_row, OPENAI_FAMILIES))),
        *(
            "### Anthropic models",
            table(
                ("model", "thinking", "efforts", "max_tokens", "refuses", "source"), map(claude_row, CLAUDE_FAMILIES)
            ),
        ),
        *("### Gemini models", table(("model", "thinking", "combines", "source"), map(gemini_row, GEMINI_FAMILIES))),
    ]
    return page("Rules of the mock server", *parts)


def mock_rule_row(rule: Rule) -> tuple[str, ...]:
    marks = [word for word, holds in (("our words", rule.own_words), ("lenient", rule.strict)) if holds]
    marked = f" *({', '.join(marks)})*" if marks else ""
    message = rule.message.strip().replace("\n", " ").replace("{{", "{").replace("}}", "}").replace("`", "'")
    return code(rule.id), rule.says, f"{rule.status} {code(message)}{marked}", f"<{rule.source}>, {rule.checked}"


def model_names(model: Any) -> str:
    """The pattern of a family without what a dated or latest version adds to it."""
    names = re.sub(r"\(\?:-(?:latest|preview).*", "", model.name.pattern)
    return code(names.replace("(?:", "("))


def traits_of(model: Any, words: Mapping[str, str]) -> str:
    """The words of the traits that a family does not have."""
    return ", ".join(word for trait, word in words.items() if not getattr(model, trait)) or "-"


def openai_model_row(model: Any) -> tuple[str, ...]:
    words = {"stop": "no `stop` while it reasons", "system": "no system messages", "old_max_tokens": "no `max_tokens`"}
    words["tools_while_reasoning"] = "no functions beside an effort on Chat Completions"
    efforts = codes(model.efforts) + f"; {code(model.default_effort)} by default" if model.efforts else "never reasons"
    return model_names(model), efforts, traits_of(model, words), f"<{model.source}>, {model.checked}"


def claude_row(model: Any) -> tuple[str, ...]:
    kinds = {"budget": "enabled", "adaptive": "adaptive", "off": "disabled"}
    taken = codes(kind for trait, kind in kinds.items() if getattr(model, trait))
    words = {"sampling": "sampling", "both_sampling": "temperature with top_p", "prefill": "prefill"}
    refused = traits_of(model, words | {"forced_tools": "forced tools"})
    if model.off_below:
        refused += f", `disabled` at {code(model.off_below)}"
    source = f"<{model.source}>, {model.checked}"
    return model_names(model), taken, codes(model.efforts) or "-", str(model.max_tokens), refused, source


def gemini_row(model: Any) -> tuple[str, ...]:
    low, high = model.budget or (0, 0)
    budget = (
        f"budget {low} to {high}" if model.budget and not model.levels else "any budget" if model.budget else "none"
    )
    off = "" if model.budget_off else ", never off"
    levels = f"; levels {codes(model.levels)}" if model.levels else ""
    combines = "functions with JSON and with search" if model.combines else "-"
    return model_names(model), f"{budget}{off}{levels}", combines, f"<{model.source}>, {model.checked}"


# ---- sections of architecture.md -------------------------------------------------------------------------------------

OTHER_FOLDERS = {
    "scenarios/providers": "Who is played: one YAML file for each provider.",
    "scenarios/stories": "What happens: one YAML file for each exchange.",
    "tests": "Tests; mirrors `proxy/`, `mockserver/` and `conformance/`.",
    "tests/evidence": "Literal vendor requests, replies and streams, each with its URL.",
    "tests/complaints": "Tests of the cases in the catalogue of complaints, through the whole proxy.",
    "tests/sdk": "The official SDKs as clients of the proxy.",
    "docs": "This documentation, and `generate.py`, which writes parts of it.",
}
"""Folders without a Python package that says what it is."""


def folders() -> str:
    """One line for each folder: its package's docstring."""
    rows = []
    for file in modules().values():
        if file.name == "__init__.py":
            rows.append((str(file.parent.relative_to(ROOT)), first_sentence(file)))
    rows += [(top, first_sentence(ROOT / top / "__init__.py")) for top in ("benchmarks", "training")]
    rows += OTHER_FOLDERS.items()
    return table(("folder", "what it holds"), [(code(f"{path}/"), text) for path, text in rows])


def first_sentence(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text("utf-8")))
    if not text:
        raise SystemExit(f"{file.relative_to(ROOT)}: give it a docstring; {COMMAND} lists every folder by it")
    return " ".join(text.partition("\n\n")[0].split())


def floors() -> str:
    """A table for each program: its floors from the ground up."""
    parts = []
    for program, tower in FLOORS.items():
        rows = [
            (str(number), code("; ".join(place.replace(" ", ", ") for place in places)))
            for number, places in enumerate(tower)
        ]
        parts += [f"**{program}**", table(("floor", "modules"), rows)]
    return "\n\n".join(parts)


def with_sections(name: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """The page with what is drawn between its markers."""
    text = (DOCS / name).read_text("utf-8")
    for section, draw in sections.items():
        opening, closing = f"<!-- {section}: written by `{COMMAND}` -->", f"<!-- /{section} -->"
        before, found, rest = text.partition(opening)
        _, end, after = rest.partition(closing)
        if not (found and end):
            raise SystemExit(f"docs/{name}: needs a place between {opening} and {closing}")
        text = f"{before}{opening}\n\n{draw()}\n\n{closing}{after}"
    return text


ARCHITECTURE_SECTIONS: dict[str, Callable[[], str]] = {"folders": folders, "floors": floors}


def architecture() -> str:
    return with_sections("architecture.md", ARCHITECTURE_SECTIONS)


# ---- clients.md ------------------------------------------------------------------------------------------------------

BASE, MODEL = "http://127.0.0.1:9001", "gpt-5"


def client_table() -> str:
    rows = [
        (each.title, code(each.name), each.speaks, pointed_by(each), each.tried or "–", f"<{each.source}>")
        for each in CLIENTS
    ]
    return table(("client", "name", "speaks", "pointed by", "tried", "source"), rows)


def pointed_by(client: Client) -> str:
    """The ways by which a client is pointed at the proxy."""
    ways = []
    if client.variables and any("{" in text for text in client.variables.values()):
        ways.append("variables")
    if client.file is not None:
        ways.append(f"{code(client.file.usual)}")
    if client.arguments:
        ways.append("arguments")
    return ", ".join(ways) or "a command of its own"


def recipes() -> str:
    return "\n\n".join(recipe(client) for client in CLIENTS if client.command is not None)


def recipe(client: Client) -> str:
    """Draws the text to copy for one client."""
    setup = setup_of(client, BASE, MODEL)
    by_hand = [f"export {name}={shlex.quote(text)}" for name, text in setup.variables.items() if "\n" not in text]
    if client.file is not None and client.file.by_content:
        by_hand = [line for line in by_hand if not line.startswith(f"export {client.file.variable}=")]
    words = " ".join(map(shlex.quote, setup.arguments)) if client.file is None else ""
    example = fill(client.example, BASE, MODEL)
    command = client.command or client.name
    if words:
        example = example.replace(command, f"{command} {words}", 1)
    run = f"crosswire run --model {MODEL} -- {client.example}"
    parts = [f"### {client.title}", f"{code(client.install)}. Speaks {client.speaks}."]
    if client.variables or client.file is not None:
        parts.append(f"```sh\n{fill(run, BASE, MODEL)}\n```\n\nBy hand, before a proxy that runs:")
    parts.append("```sh\n" + "\n".join([*by_hand, example]) + "\n```")
    if client.file is not None and setup.file_text is not None:
        language = client.file.name.rpartition(".")[2]
        parts.append(f"with this in {code(client.file.usual)}:\n\n```{language}\n{setup.file_text.rstrip()}\n```")
    notes = list(client.quirks)
    if setup.aliases:
        pairs = ", ".join(f'"{name}": {means}' for name, means in setup.aliases.items())
        notes.append(f"in `crosswire.yaml`, for the models that it asks for by itself: `aliases: {{{pairs}}}`")
    return "\n\n".join([*parts, *(["\n".join(f"- {note}" for note in notes)] if notes else [])])


EXEMPTIONS = {
    "caches": "its prompts are cached at Anthropic backends, unless `cache: off`",
    "ends_whole": "the body of a stream that failed ends properly, behind the error",
}
"""Kind of exemption to its effect, in a reader's words."""


def exemption_table() -> str:
    rows = [
        (client.title, ", ".join(map(code, client.user_agents)), EXEMPTIONS[each.what], each.why, f"<{each.source}>")
        for client in CLIENTS
        for each in client.exemptions
    ]
    return table(("client", "user agents", "what is done", "why", "source"), rows)


CLIENT_SECTIONS: dict[str, Callable[[], str]] = {
    "clients": client_table,
    "exemptions": exemption_table,
    "recipes": recipes,
}


def clients() -> str:
    return with_sections("clients.md", CLIENT_SECTIONS)


# ---- observability.md ------------------------------------------------------------------------------------------------


def metric_table() -> str:
    """Every metric as its code defines it; a counter's name ends as it does on `/metrics`."""
    rows = []
    for family in Metrics().collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        text = family.documentation
        rows.append((code(name), family.type, codes(family._labelnames), text[0].lower() + text[1:]))
    return table(("metric", "type", "labels", "meaning"), sorted(rows))


def span_table() -> str:
    rows = [
        (code(row.name), ", ".join(row.places), row.meaning, f"[OpenTelemetry]({row.source})" if row.source else "")
        for row in SPAN_NAMES
    ]
    return table(("attribute", "of", "meaning", "defined by"), rows)


def observability() -> str:
    return with_sections("observability.md", {"metrics": metric_table, "spans": span_table})


# ---- faults.md -------------------------------------------------------------------------------------------------------


def faults() -> str:
    intro = "128 faults and abuses around a gateway: what comes of each, and the tests below `tests/` that hold it."
    head = ("", "fault", "what comes of it", "held by")
    sections = yaml.safe_load(FAULTS.read_text("utf-8"))
    parts = [(f"## {section['title']}", table(head, map(fault_row, section["rows"]))) for section in sections]
    return page("Faults", intro, *(part for pair in parts for part in pair))


def fault_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    outcome = row.get("outcome") or f"**not survived, or not there**: {row['left']}"
    return str(row["number"]), row["fault"], outcome, ", ".join(map(code, row.get("tests", ())))


# ---- mutants.md ------------------------------------------------------------------------------------------------------

MUTANTS = ROOT / "conformance/mutants"


def mutants() -> str:
    found = read_table(MUTANTS)
    left = [mutant for mutant in found.mutants if mutant.survives]
    columns = [(direction, protocol) for direction in DIRECTIONS for protocol in PROTOCOLS]
    rows = [(code(word), *(mutant_mark(word, *column, found.mutants) for column in columns)) for word in LOSS_RULES]
    reasons: dict[str, list[str]] = {}
    for mutant in left:
        reasons.setdefault(mutant.survives, []).append(mutant.name)
    return page(
        "Mutants",
        f"{len(found.mutants)} deliberate breakages of the proxy, each of which a check of the matrix must find; from "
        f"[{MUTANTS.relative_to(ROOT)}](../{MUTANTS.relative_to(ROOT)}). [Conformance](conformance.md#mutants) tells "
        f"how to run them. {len(left)} are expected to survive; each is a hole in the suite, listed with its reason.",
        "## Words, directions and protocols",
        "✓: a mutant that is killed, ~: only mutants that are expected to survive, –: none, for a reason given below.",
        table(("word", *(f"{direction} {protocol}" for direction, protocol in columns)), rows),
        "## Expected to survive",
        table(("reason", "mutants"), [(reason, codes(names)) for reason, names in reasons.items()]),
        "## Combinations without a mutant",
        table(
            ("words", "direction", "protocols", "reason"),
            [
                (codes(gap.words), ", ".join(gap.directions), protocol_names(gap.protocols), gap.because)
                for gap in found.gaps
            ],
        ),
        "## All mutants",
        table(
            ("mutant", "covers", "change", "a user would lose"),
            [
                (code(mutant.name), codes(mutant.covers), mutant.patches[0].operator, mutant.loses)
                for mutant in found.mutants
            ],
        ),
    )


def mutant_mark(word: str, direction: str, protocol: str, rows: Iterable[Mutant]) -> str:
    """The mark of a combination: whether a mutant of it must be killed."""
    here = [row for row in rows if word in row.covers and row.direction == direction and protocol in row.protocols]
    return "–" if not here else "✓" if any(not row.survives for row in here) else "~"


def protocol_names(names: Sequence[str]) -> str:
    return "all" if len(names) == len(PROTOCOLS) else ", ".join(names)


# ---- the command line ------------------------------------------------------------------------------------------------

SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "config": config_schema,
    "provider": provider_schema,
    "story": story_schema,
    "profile": profile_schema,
    "expectations": expectations_schema,
}
"""Name of a schema in the folder `schemas`, which is shipped, to what makes it."""

NAMED_BY: dict[str, tuple[str, str]] = {
    "scenarios/config-mock.yaml": ("config", "../schemas"),
    "scenarios/providers/*.yaml": ("provider", "../../schemas"),
    "scenarios/verdict/*.yaml": ("story", "../../schemas"),
    "scenarios/stories/*.yaml": ("story", "../../schemas"),
    "tests/comply/scenarios/stories/*.yaml": ("story", "../../../../schemas"),
    "tests/frameworks/scenarios/stories/*.yaml": ("story", "../../../../schemas"),
    "deploy/crosswire.yaml": ("config", "../schemas"),
    "conformance/target/profiles/*.yaml": ("profile", "../../../schemas"),
    "conformance/matrix/expectations.yaml": ("expectations", "../../schemas"),
}
"""Files of a kind to the schema that their first line names, and the way to its folder, here as in the package."""


def schema_text(name: str) -> str:
    return json.dumps(SCHEMAS[name](), indent=1, ensure_ascii=False) + "\n"


def schema_line(name: str, folder: str) -> str:
    return f"# yaml-language-server: $schema={folder}/{name}.schema.json\n"


def files_without_schema() -> Iterator[tuple[Path, str]]:
    """Yields the files whose first line does not name their schema, and that line."""
    for pattern, named in NAMED_BY.items():
        for file in sorted(ROOT.glob(pattern)):
            if not file.read_text("utf-8").startswith(schema_line(*named)):
                yield file, schema_line(*named)


PAGES: dict[str, Callable[[], str]] = {
    **{f"../schemas/{name}.schema.json": partial(schema_text, name) for name in SCHEMAS},
    "run.schema.json": lambda: json.dumps(run_schema(), indent=2) + "\n",
    "configuration-keys.md": configuration_keys,
    "commands.md": commands,
    "losses.md": losses,
    "complaints.md": complaints,
    "faults.md": faults,
    "mock-rules.md": mock_rules,
    "mutants.md": mutants,
    "architecture.md": architecture,
    "clients.md": clients,
    "observability.md": observability,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the generated pages of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    args = parser.parse_args(argv)
    stale = []
    for name, draw in PAGES.items():
        file, text = DOCS / name, draw()
        if not file.is_file() or file.read_text("utf-8") != text:
            stale.append(name)
            if not args.check:
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, "utf-8")
    for file, line in files_without_schema():
        stale.append(str(file.relative_to(ROOT)))
        if not args.check:
            text = file.read_text("utf-8")
            file.write_text(line + re.sub(r"\A# yaml-language-server: .*\n", "", text), "utf-8")
    if args.check and stale:
        print(f"stale: {', '.join(stale)}; write them with: {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
