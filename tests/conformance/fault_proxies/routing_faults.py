"""Routing faults: other backends, keys or models, and headers and records that misreport them."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from crosswire.conformance.harness.testbed import HttpResponse
from crosswire.mockserver.scenarios.model import SayStop, SayText

from .fault_proxy import Fault, FaultContext, ProxiedRequest
from .reencode import content_of, parse_reply, render_reply
from .reply_faults import set_header

ATTIC, CELLAR = "/ollama@attic/", "/ollama@cellar/"
"""Paths of two backends of one provider, so that each accepts the other's requests."""

# ---- upstream requests -----------------------------------------------------------------------------------------------


def call_other_backend(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Sends requests for the attic to the cellar, with the cellar's key."""
    return replace(_with_key(request, "cellar"), path=request.path.replace(ATTIC, CELLAR))


def send_other_key(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Calls the right backend with the other one's key."""
    return _with_key(request, "cellar")


def send_two_keys(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Sends the other backend's key in addition to the right one."""
    return replace(request, headers={**request.headers, "x-spare-key": "test-key-ollama-cellar"})


def request_other_model(context: FaultContext, request: ProxiedRequest) -> ProxiedRequest:
    """Requests another model from the right backend."""
    return request.with_json(request.json() | {"model": "llama4"})


def _with_key(request: ProxiedRequest, backend: str) -> ProxiedRequest:
    return replace(request, headers={**request.headers, "authorization": f"Bearer test-key-ollama-{backend}"})


# ---- replies ---------------------------------------------------------------------------------------------------------


def continue_with_other_model(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Continues a broken reply with another model's text and an ordinary end."""
    reply = content_of(parse_reply(context, response))
    items = (*reply.items, SayText(("Another model's text.",)))
    return render_reply(context, replace(reply, items=items, stop=SayStop("end")), response.headers)


# ---- the record ------------------------------------------------------------------------------------------------------


def change_decision(**changes: Any) -> Any:
    """Returns a fault that changes the recorded decision."""
    return lambda record: record | {"decision": record["decision"] | changes}


def record_chosen(record: dict[str, Any]) -> dict[str, Any]:
    """Records the chosen backend as the one that replied."""
    chosen = record["decision"]["chosen"]
    return record | {"backend_used": chosen["backend"], "model_used": chosen["model"]}


def drop_attempt(record: dict[str, Any]) -> dict[str, Any]:
    """Drops the first attempt of the record."""
    return record | {"attempts": record["attempts"][1:]}


def drop_candidate(record: dict[str, Any]) -> dict[str, Any]:
    """Drops the last candidate of the record."""
    return record | {"decision": record["decision"] | {"considered": record["decision"]["considered"][:-1]}}


def leak_backend_key(record: dict[str, Any]) -> dict[str, Any]:
    """Adds a backend's key to the record."""
    return json.loads(json.dumps(record)) | {"config": "test-key-ollama-local"}


# ---- the table -------------------------------------------------------------------------------------------------------

ROUTING_FAULTS: dict[str, Fault] = {
    # upstream requests
    "calls another backend": Fault(up=call_other_backend),
    "calls two backends": Fault(beside=call_other_backend),
    "calls a backend twice": Fault(twice=True),
    "sends another backend's key": Fault(up=send_other_key),
    "sends two keys": Fault(up=send_two_keys),
    "requests another model": Fault(up=request_other_model),
    # replies
    "names the configured backend": Fault(down=set_header("x-crosswire-backend", "local")),
    "names the configured model": Fault(down=set_header("x-crosswire-model", "llama3.2")),
    "counts one attempt": Fault(down=set_header("x-crosswire-attempts", "1")),
    "gives another reason": Fault(down=set_header("x-crosswire-route", "model_mapping; because")),
    "continues with another model": Fault(down=continue_with_other_model),
    # records
    "records the configured backend": Fault(record=record_chosen),
    "hides an attempt": Fault(record=drop_attempt),
    "hides a candidate": Fault(record=drop_candidate),
    "records another mode": Fault(record=change_decision(mode="explicit")),
    "records another choice": Fault(record=change_decision(chosen={"backend": "cloud", "model": "gpt-5-mini"})),
    "hides a warning": Fault(record=change_decision(notes=[])),
    "records another tier": Fault(record=change_decision(score={"total": 99, "tier": "frontier", "parts": {}})),
    "records a key": Fault(record=leak_backend_key),
}
