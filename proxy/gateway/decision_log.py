"""Logs how a request was routed, for `--verbose`; callers look first whether the level INFO is enabled."""

from __future__ import annotations

import logging

from ..providers import title_of
from ..routing import BackendConfig, Decision, Plan, find_backend_for_model, missing_capabilities

log = logging.getLogger("crosswire")

UNMAPPED = ("explicit", "auto")
"""Modes in which no rule names the model."""


def log_request(title: str, model: str) -> None:
    """A request came, in this protocol."""
    log.info("%s request for model: %s", title, _one_line(model))


def log_decision(
    model: str, needed: frozenset[str], plan: Plan, decision: Decision, chosen: BackendConfig | None
) -> None:
    """The mapping of the model, the capabilities that a backend lacks, and the backend that was chosen."""
    mapped = find_backend_for_model(model, plan)
    if mapped is not None:
        log.info("✓ Model '%s' mapped to backend '%s'", _one_line(model), mapped.name)
        if lacks := missing_capabilities(mapped, needed):
            log.info("✗ Backend '%s' lacks required capabilities: %s", mapped.name, ", ".join(lacks))
    if chosen is not None and decision.mode in UNMAPPED:
        log.info("No mapping for %s, using %s", _one_line(model), chosen.name)
    elif mapped is not chosen or chosen is None:
        log.info("%s %s", "✗" if chosen is None else "→", decision.because)
    if chosen is None:
        return
    if lacks := missing_capabilities(chosen, needed):
        log.info("✗ Backend '%s' lacks required capabilities: %s", chosen.name, ", ".join(lacks))
    else:
        log.info("✓ Backend '%s' supports required capabilities", chosen.name)
    log.info("Routing %s to %s", _one_line(model), chosen.name)


def log_attempt(backend: BackendConfig, model: str) -> None:
    """A backend is called."""
    log.info("%s Request: %s", title_of(backend.provider), _one_line(model))


def log_success(backend: BackendConfig, model: str) -> None:
    """A backend's answer is whole."""
    log.info("%s Success: %s", title_of(backend.provider), _one_line(model))


def _one_line(model: str) -> str:
    """A name that a client typed, without control characters."""
    return model if model.isprintable() else repr(model)[1:-1]
