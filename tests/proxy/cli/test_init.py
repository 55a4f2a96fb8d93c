"""`crosswire init` and `crosswire schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from crosswire.mockserver.scenarios.yaml_reader import YamlDocument
from crosswire.proxy.cli.exit_codes import OK, USAGE
from crosswire.proxy.cli.main import main
from crosswire.proxy.cli.schema import schema_file
from crosswire.proxy.config import from_environment, load_file
from crosswire.proxy.config.environment import enabled_by_variable

SECRET = "sk-0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for provider in enabled_by_variable():
        monkeypatch.delenv(str(provider.enabling_variable), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["OPENAI_API_KEY"],
        ["ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"],
        ["OLLAMA_HOST"],
        ["OPENROUTER_API_KEY", "OLLAMA_HOST", "MISTRAL_API_KEY"],
    ],
    ids="+".join,
)
def test_the_written_config_loads_holds_no_key_and_routes_as_the_environment_does(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {name: "http://127.0.0.1:11434" if name == "OLLAMA_HOST" else SECRET for name in names}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert main(["init"]) == OK
    text = Path("crosswire.yaml").read_text("utf-8")
    assert SECRET not in text
    config = load_file(Path("crosswire.yaml"), env)
    from_variables = from_environment(env)
    assert [(each.name, each.api_key, each.base_url) for each in config.plan.backends] == [
        (each.name, each.api_key, each.base_url) for each in from_variables.plan.backends
    ]
    routed = {(family.pattern, family.backend) for family in from_variables.plan.families if family.pattern != "*"}
    written = {(route.match, route.targets[0].backend) for route in config.plan.routes}
    assert written == (routed if len(names) > 1 else set())
    schema = json.loads(schema_file("config").read_text("utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(YamlDocument("", text).value)) == []
    assert text.startswith(f"# yaml-language-server: $schema={schema_file('config')}\n")


def test_a_file_that_is_there_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    Path("mine.yaml").write_text("mine")
    assert main(["init", "mine.yaml"]) == USAGE
    assert Path("mine.yaml").read_text() == "mine"
    assert "is there already" in capsys.readouterr().err


def test_without_a_variable_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == USAGE
    assert not Path("crosswire.yaml").exists()
    assert "OPENAI_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config", "story", "provider", "profile", "expectations"])
def test_a_schema_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == OK
    Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))
    assert main(["schema"]) == OK
    assert any(line.split()[0] == name for line in capsys.readouterr().out.splitlines())


def test_an_unknown_schema_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "cofnig"]) == USAGE
    assert "known: config" in capsys.readouterr().err
