"""Lies about routes: who is asked, by which key, and what is said of it. It knows the stories and no referee."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from conformance.bench import Answer
from mockserver.speech import SayStop, SayText

from .doors import Asked, Lie, Scene
from .retold import hear, said, told

ATTIC, CELLAR = "/ollama@attic/", "/ollama@cellar/"
"""Two backends of one provider, so that what one is asked the other one understands."""

# ---- the way up ------------------------------------------------------------------------------------------------------


def elsewhere(scene: Scene, asked: Asked) -> Asked:
    """What is for the attic goes to the cellar, with the cellar's key."""
    return replace(_with_key(asked, "cellar"), path=asked.path.replace(ATTIC, CELLAR))


def with_the_key_of_another(scene: Scene, asked: Asked) -> Asked:
    """The right backend is asked by the key of the other one."""
    return _with_key(asked, "cellar")


def with_two_keys(scene: Scene, asked: Asked) -> Asked:
    """The other backend's key goes along with the right one."""
    return replace(asked, headers={**asked.headers, "x-spare-key": "test-key-ollama-cellar"})


def under_another_name(scene: Scene, asked: Asked) -> Asked:
    """The right backend is asked for another model."""
    return asked.with_json(asked.json() | {"model": "llama4"})


def _with_key(asked: Asked, backend: str) -> Asked:
    return replace(asked, headers={**asked.headers, "authorization": f"Bearer test-key-ollama-{backend}"})


# ---- the way down ----------------------------------------------------------------------------------------------------


def header(name: str, value: str) -> Any:
    """One header says something else."""
    return lambda scene, answer: replace(answer, headers={**answer.headers, f"x-crosswire-{name}": value})


def another_goes_on(scene: Scene, answer: Answer) -> Answer:
    """After the words of the model that broke come those of another, and an ordinary end."""
    heard = told(hear(scene, answer))
    items = (*heard.items, SayText(("Another model's words.",)))
    return said(scene, replace(heard, items=items, stop=SayStop("end")), answer.headers)


# ---- the record ------------------------------------------------------------------------------------------------------


def decision(**said_of_it: Any) -> Any:
    """The record says something else of the decision."""
    return lambda record: record | {"decision": record["decision"] | said_of_it}


def configured(record: dict[str, Any]) -> dict[str, Any]:
    """Who was chosen is recorded as who answered."""
    chosen = record["decision"]["chosen"]
    return record | {"backend_used": chosen["backend"], "model_used": chosen["model"]}


def one_attempt_less(record: dict[str, Any]) -> dict[str, Any]:
    """The first try is not told of."""
    return record | {"attempts": record["attempts"][1:]}


def one_candidate_less(record: dict[str, Any]) -> dict[str, Any]:
    """Of the last backend nothing is said."""
    return record | {"decision": record["decision"] | {"considered": record["decision"]["considered"][:-1]}}


def show_a_key(record: dict[str, Any]) -> dict[str, Any]:
    """The record tells the key of a backend."""
    return json.loads(json.dumps(record)) | {"config": "test-key-ollama-local"}


# ---- the table -------------------------------------------------------------------------------------------------------

MISROUTES: dict[str, Lie] = {
    # who is asked
    "asks another and says nothing": Lie(up=elsewhere),
    "asks two backends": Lie(beside=elsewhere),
    "asks one twice": Lie(twice=True),
    "sends the key of another": Lie(up=with_the_key_of_another),
    "sends two keys": Lie(up=with_two_keys),
    "asks for another model": Lie(up=under_another_name),
    # what the client is told
    "names the configured backend": Lie(down=header("backend", "local")),
    "names the configured model": Lie(down=header("model", "llama3.2")),
    "counts one attempt": Lie(down=header("attempts", "1")),
    "tells another reason": Lie(down=header("route", "model_mapping; because")),
    "lets another model go on": Lie(down=another_goes_on),
    # what is recorded
    "records the configured backend": Lie(record=configured),
    "hides an attempt": Lie(record=one_attempt_less),
    "hides a candidate": Lie(record=one_candidate_less),
    "records another mode": Lie(record=decision(mode="explicit")),
    "records another choice": Lie(record=decision(chosen={"backend": "cloud", "model": "gpt-5-mini"})),
    "hides a warning": Lie(record=decision(notes=[])),
    "records another tier": Lie(record=decision(score={"total": 99, "tier": "frontier", "parts": {}})),
    "records a key": Lie(record=show_a_key),
}
