"""The image, the composition and the unit: what they name is there, and their config is one that the proxy takes.

No Docker and no systemd run where the tests run: nothing is started here.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from crosswire.proxy.config import load

from ..docs.commands import argument_error, project
from ..source_tree import ROOT
from .programs import DEPLOY, program, run

DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
UNIT = DEPLOY / "crosswire.service"

VARIABLES = {
    "CROSSWIRE_ADMIN_KEY": "0123456789abcdef",
    "CROSSWIRE_CLIENT_KEY": "cw-0123456789abcdef",
    "OPENAI_API_KEY": "sk-1",
    "POSTGRES_PASSWORD": "pw",
}


FOLDERS = set(re.findall(r'"(\w+)"', " ".join(re.findall(r"PROGRAMS.*", (ROOT / "setup.py").read_text("utf-8")))))
"""The folders of which setup.py makes the package."""

PACKAGE = {"pyproject.toml", "setup.py", "README.md", "LICENSE", *FOLDERS}


def instructions(word: str) -> list[str]:
    return re.findall(rf"^{word} (.*)$", DOCKERFILE, re.M)


# ---- the image -------------------------------------------------------------------------------------------------------


def test_the_image_copies_what_is_there() -> None:
    kept = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == kept
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert copied >= PACKAGE


def test_the_image_of_the_suite_gets_all_that_the_package_is_made_of() -> None:
    lines = (ROOT / "conformance" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line[:1] == "!"} == PACKAGE


def test_the_image_installs_extras_that_exist() -> None:
    (extras,) = re.findall(r"'\.\[([a-z,]+)\]'", DOCKERFILE)
    assert set(extras.split(",")) <= set(project()["optional-dependencies"])


def test_the_image_runs_without_rights() -> None:
    (user,) = instructions("USER")
    assert int(user.split(":")[0]) > 0
    assert "apt-get" not in DOCKERFILE
    assert "curl" not in DOCKERFILE


def test_the_commands_of_the_image_exist() -> None:
    (check,) = re.findall(r"CMD (\[.*\])$", instructions("HEALTHCHECK")[0])
    (entry,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert argument_error(yaml.safe_load(check)) is None
    assert argument_error([*yaml.safe_load(entry), *yaml.safe_load(command)]) is None


# ---- the composition -------------------------------------------------------------------------------------------------


def test_the_services() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"proxy-1", "proxy-2", "haproxy", "valkey", "postgres"}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services)
        assert "build" in service or re.fullmatch(r"docker\.io/[\w/]+:[\w.-]+", service["image"]), name
        for need in service.get("depends_on", {}):
            # `service_healthy` waits for ever where there is no check; the image of the proxy has one
            assert "healthcheck" in services[need] or need.startswith("proxy-")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file()
    build = services["proxy-1"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_the_replicas() -> None:
    for name in ("proxy-1", "proxy-2"):
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert int(service["stop_grace_period"].removesuffix("s")) > config().settings.drain_s + 5
    addresses = COMPOSE["services"]["haproxy"]["environment"]
    assert addresses == {f"CROSSWIRE_{number}": f"proxy-{number}:{config().settings.port}" for number in (1, 2)}
    text = (DEPLOY / "haproxy.cfg").read_text("utf-8")
    assert all(name in text for name in addresses)
    assert COMPOSE["services"]["haproxy"]["ports"] == ["127.0.0.1:8080:8080"]  # where haproxy.cfg listens


def config() -> Any:
    return load((DEPLOY / "crosswire.yaml").read_text("utf-8"), "crosswire.yaml", VARIABLES)


def test_the_config_of_the_replicas() -> None:
    settings = config().settings
    assert settings.host == "0.0.0.0"  # noqa: S104
    assert settings.open is False
    assert settings.store == "postgresql://crosswire:pw@postgres/crosswire"
    assert "localhost" in settings.hosts  # which HAProxy's checks call


# ---- the unit --------------------------------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the paths of programs that are there."""
    file = tmp_path / "crosswire.service"
    text = UNIT.read_text("utf-8").replace("/opt/crosswire/bin/crosswire", f"{Path(sys.executable).parent}/crosswire")
    file.write_text(text, "utf-8")
    return file


def test_systemd_takes_the_unit(unit: Path) -> None:
    code, text = run(program("systemd-analyze"), "verify", str(unit))
    assert (code, text) == (0, "")


def test_the_unit_is_hardened(unit: Path) -> None:
    """The exposure that systemd reckons, from 0 to 10: `systemd-analyze security` calls 1.3 "OK" and 9.6 "UNSAFE"."""
    code, text = run(program("systemd-analyze"), "security", "--offline=true", str(unit))
    if "offline" in text and code:
        pytest.skip("this systemd-analyze reads no units that are not loaded")
    (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", text)
    assert float(level) <= 2


def test_the_commands_of_the_unit_exist() -> None:
    lines = re.findall(r"^Exec\w+=/opt/crosswire/bin/(crosswire .*)$", UNIT.read_text("utf-8"), re.M)
    assert len(lines) == 2
    for line in lines:
        assert argument_error(shlex.split(line)) is None
