"""Warns of what is valid in a config and most likely a mistake: an address without a version, another one's key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ..providers import PROVIDERS, Provider
from ..routing import BackendConfig
from .provider import ProtocolSpec
from .yaml_reader import ConfigReader


def warn_of_likely_mistakes(
    reader: ConfigReader,
    backends: Iterable[BackendConfig],
    providers: Mapping[str, Provider],
    protocols: Mapping[str, ProtocolSpec],
) -> None:
    """Adds a warning for each backend whose address or key is most likely not the one that was meant."""
    for backend in backends:
        line, path = reader.locations.get(backend.name, (0, ""))
        here = f"{reader.file}{f':{line}' if line else ''}"
        protocol = protocols.get(backend.protocol)
        if (wanted := _missing_path(backend, protocol)) is not None:
            what = f"has no path, and hosts of {backend.protocol} are mostly at {wanted}; add it if this one is"
            reader.warnings.append(f"{here}: {path}: {what}")
        if (found := _foreign_key(backend, providers)) is not None:
            owner, receiver = found
            what = (
                f"its key has the form of a key of {owner.name}, and is sent to {receiver.name}; is it the right one?"
            )
            reader.warnings.append(f"{here}: backends.{backend.name}: {what}")


def _missing_path(backend: BackendConfig, protocol: ProtocolSpec | None) -> str | None:
    """Returns the path at which the base URL of such a host mostly ends; None where there is nothing to say."""
    if protocol is None or not protocol.usual_base_path or not backend.base_url:
        return None
    url = urlsplit(backend.base_url)
    known = {urlsplit(each.base_url or "").netloc for each in PROVIDERS if not urlsplit(each.base_url or "").path}
    return None if url.path.strip("/") or url.netloc in known else protocol.usual_base_path


def _foreign_key(backend: BackendConfig, providers: Mapping[str, Provider]) -> tuple[Provider, Provider] | None:
    """Returns whose key it is by its form and who gets it; None where they are the same, or one is not known.

    A host of one's own may take any key, so that only the hosts of known providers are looked at.
    """
    host = urlsplit(backend.base_url).hostname
    receivers = [each for each in PROVIDERS if each.base_url and urlsplit(each.base_url).hostname == host]
    if not receivers or not receivers[0].needs_key:
        return None
    for key in filter(None, (backend.api_key, *backend.spare_keys)):
        for owner in PROVIDERS:
            if key.startswith(owner.key_beginnings or "\0") and owner not in receivers:
                return owner, providers.get(receivers[0].name, receivers[0])
    return None
