"""Parses profiles: every mistake is told with file and line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.json_schema import file_schema
from crosswire.mockserver.scenarios.provider import Provider
from crosswire.mockserver.scenarios.story import CAPABILITIES
from crosswire.mockserver.scenarios.yaml_reader import (
    Mistake,
    YamlDocument,
    YamlMapping,
    did_you_mean,
    list_of,
    mapping,
    mapping_of,
    nothing,
    number,
    one_of,
    string,
    string_list,
    takes,
)

from .profile import ANY_MODEL, Frontend, Inability, Installation, Profile, Start

SHIPPED_PROFILES = Path(__file__).with_name("profiles")

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A variable of the environment within a value."""


def shipped_profiles() -> list[str]:
    """Returns the names of the shipped profiles."""
    return sorted(file.stem for file in SHIPPED_PROFILES.glob("*.yaml"))


def find_profile(name: str) -> Path | None:
    """Returns the file of a profile, given by its path or as the name of a shipped one; None where there is none."""
    shipped = SHIPPED_PROFILES / f"{name}.yaml"
    given = Path(name)
    return given if given.is_file() else shipped if "/" not in name and shipped.is_file() else None


def read_profile(
    file: str, source: str, providers: Mapping[str, Provider], environment: Mapping[str, str] | None = None
) -> tuple[Profile | None, list[Mistake]]:
    """Parses the text of a profile; returns the profile (None if it has mistakes) and the mistakes."""
    doc = YamlDocument(file, source)
    if doc.value is None:
        return None, doc.mistakes
    given = os.environ if environment is None else environment
    profile = profile_keys(YamlMapping(doc, doc.value, "$"), file)
    _check_names(doc, "$.frontends", profile.frontends, MOCK_PROTOCOLS)
    for key, named in (("models", profile.models), ("headers", profile.headers)):
        _check_names(doc, f"$.{key}", named, providers)
    for name, models in profile.models.items():
        if name in providers:
            _check_names(doc, f"$.models.{name}", models, (*providers[name].models, ANY_MODEL))
    if not profile.frontends and not doc.mistakes:
        doc.complain("$.frontends", "a gateway offers at least one frontend")
    if not profile.models and not doc.mistakes:
        doc.complain("$.models", "a gateway reaches at least one provider")
    return (None if doc.mistakes else _with_variables(doc, profile, given)), doc.mistakes


def profile_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a profile, made of the readers that parse it."""
    return file_schema(profile_keys, "Profile of a gateway", "docs/judge-a-gateway.md explains every key.")


def profile_keys(top: YamlMapping, file: str = "") -> Profile:
    """Reads the keys of a profile."""
    profile = Profile(
        name=top.require("name", string, ""),
        version=top.take("version", string, ""),
        url=top.take("url", _url, ""),
        ready=top.take("ready", _path, ""),
        frontends=top.require("frontends", _frontends, {}),
        models=top.require("models", mapping_of(_models), {}),
        headers=top.take("headers", mapping_of(mapping_of(string)), {}),
        losses=top.take("losses", string_list, ()),
        record=top.take("record", _path, ""),
        cannot=top.take("cannot", list_of(_inability), ()),
        install=top.take("install", _install, None),
        start=top.take("start", _start, None),
        file=file,
    )
    top.close()
    return profile


def _check_names(doc: YamlDocument, path: str, found: Mapping[str, object], known: Iterable[str]) -> None:
    words = tuple(known)
    for name in found:
        if name not in words:
            doc.complain(f"{path}.{name}", f"unknown name{did_you_mean(name, words)}")


def _with_variables(doc: YamlDocument, profile: Profile, given: Mapping[str, str]) -> Profile | None:
    """Returns the profile with the variables in keys and headers replaced; None where one of them is not set."""

    def fill(text: str, path: str) -> str:
        for name in VARIABLE.findall(text):
            if name not in given:
                doc.complain(path, f"the environment has no variable {name}; set it, or write the value")
        return VARIABLE.sub(lambda found: given.get(found[1], ""), text)

    def filled(headers: Mapping[str, str], path: str) -> dict[str, str]:
        return {name: fill(value, f"{path}.{name}") for name, value in headers.items()}

    frontends = {
        name: Frontend(
            one.path, fill(one.key, f"$.frontends.{name}.key"), filled(one.headers, f"$.frontends.{name}.headers")
        )
        for name, one in profile.frontends.items()
    }
    headers = {name: filled(one, f"$.headers.{name}") for name, one in profile.headers.items()}
    if doc.mistakes:
        return None
    return replace(profile, frontends=frontends, headers=headers)


# ---- parts -----------------------------------------------------------------------------------------------------------


@takes(string, pattern=r"^(https?://[^/\s]+.*)?$")
def _url(doc: YamlDocument, value: object, path: str) -> str:
    text = string(doc, value, path)
    if text and not re.match(r"https?://[^/\s]+", text):
        doc.complain(path, f"{text!r} is no address; it begins with http:// or https://")
    return text.rstrip("/")


@takes(string, pattern="^(/.*)?$")
def _path(doc: YamlDocument, value: object, path: str) -> str:
    text = string(doc, value, path)
    if text and not text.startswith("/"):
        doc.complain(path, f"{text!r} must start with a slash")
    return text


def _keys_of_frontend(doc: YamlDocument, value: object, path: str) -> Frontend:
    one = YamlMapping(doc, value, path)
    found = Frontend(
        one.take("path", _path, ""), one.take("key", string, ""), one.take("headers", mapping_of(string), {})
    )
    one.close()
    return found


@takes(nothing, _keys_of_frontend)
def _frontend(doc: YamlDocument, value: object, path: str) -> Frontend:
    return Frontend() if value is None else _keys_of_frontend(doc, value, path)


@takes(mapping_of(_frontend), minProperties=1, propertyNames={"enum": list(MOCK_PROTOCOLS)})
def _frontends(doc: YamlDocument, value: object, path: str) -> dict[str, Frontend]:
    return mapping_of(_frontend)(doc, value, path)


@takes(string, mapping_of(string))
def _models(doc: YamlDocument, value: object, path: str) -> dict[str, str]:
    """Reads the names of a provider's models; one text is the name of all, with `{model}` for the provider's own."""
    return {ANY_MODEL: value} if isinstance(value, str) else mapping_of(string)(doc, value, path)


@takes(minProperties=2)
def _inability(doc: YamlDocument, value: object, path: str) -> Inability:
    one = YamlMapping(doc, value, path)
    axes = {axis: one.take(axis, string_list, ("*",)) for axis in ("stories", "frontends", "providers")}
    needs = one.take("needs", list_of(one_of(*CAPABILITIES)), ())
    found = Inability(one.require("why", string, ""), axes["stories"], axes["frontends"], axes["providers"], needs)
    one.close()
    if isinstance(value, dict) and not value.keys() - {"why"}:
        doc.complain(path, "names no cells; add stories, frontends, providers or needs")
    return found


def _install(doc: YamlDocument, value: object, path: str) -> Installation:
    one = YamlMapping(doc, mapping(doc, value, path), path)
    found = Installation(
        one.take("pip", list_of(string), ()),
        one.take("npm", list_of(string), ()),
        one.take("overrides", mapping_of(string), {}),
    )
    one.close()
    if bool(found.pip) == bool(found.npm):
        doc.complain(path, "give packages of `pip` or of `npm`, one of the two")
    return found


def _start(doc: YamlDocument, value: object, path: str) -> Start:
    one = YamlMapping(doc, mapping(doc, value, path), path)
    found = Start(
        one.require("command", list_of(string), ()),
        one.take("files", mapping_of(string), {}),
        one.take("environment", mapping_of(string), {}),
        one.take("within_s", number, 60.0),
    )
    one.close()
    for name in found.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            doc.complain(f"{path}.files.{name}", "give a path below the gateway's folder")
    return found
