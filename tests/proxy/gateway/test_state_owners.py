"""The memory of which backend keeps a stored response."""

from __future__ import annotations

from crosswire.proxy.gateway.state_owners import ID_LENGTH, KEPT, StateOwners, reference_of
from crosswire.proxy.ir import Document, Media, Request, Text, ToolResult, Turn
from crosswire.proxy.protocols import PROTOCOLS


def test_the_oldest_are_forgotten() -> None:
    owners = StateOwners()
    for number in range(KEPT + 1):
        owners.remember(f"resp_{number}", "a")
    assert [owners.owner([id_]) for id_ in ("resp_0", "resp_1", "resp_x")] == [None, "a", None]
    assert owners.owner(["resp_x", "resp_2"]) == "a"
    owners.remember(None, "a")
    owners.remember("x" * (ID_LENGTH + 1), "a")
    assert owners.owner(["x" * (ID_LENGTH + 1)]) is None


def test_an_uploaded_file_is_found_wherever_it_is() -> None:
    file = Document(Media(file_id="file_7"))
    plain = Request(protocol="anthropic", model="m", turns=(Turn("user", (Text("hi"),)),))
    direct = Request(protocol="anthropic", model="m", turns=(Turn("user", (Text("hi"), file)),))
    inner = Request(protocol="anthropic", model="m", turns=(Turn("user", (ToolResult("id", (file,)),)),))
    assert [reference_of(PROTOCOLS["anthropic"], each) for each in (plain, direct, inner)] == [
        None,
        "file_id",
        "file_id",
    ]
