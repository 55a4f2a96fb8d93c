"""llm-comply before the local model: every frontend's form holds, whatever a real model says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from llm_comply import result as results
from llm_comply.tests import get_tests
from test_llm_comply import FRONTENDS, close_client, run, scenarios

from conformance.bench import Bench
from conformance.live import LIVE, can_run, read_live

pytestmark = [
    pytest.mark.skipif(not can_run(), reason="the extra `local` is not installed: MLX has no wheels for this platform"),
    # the suite still resolves references by the class that jsonschema deprecates; not ours to mend
    pytest.mark.filterwarnings("ignore:jsonschema.RefResolver is deprecated:DeprecationWarning"),
]

NO_EYES = "the local model takes no pictures: 400, which names the capability"

FAILURES: dict[str, str] = {
    "chat-image-input": NO_EYES,
    "image-input": NO_EYES,
    "anth-image-input": NO_EYES,
    "google-image-input": NO_EYES,
}
"""What fails, and the reason. Nothing else may fail."""

CASES = [(frontend, test.id) for frontend in FRONTENDS for test in get_tests(frontend)]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A proxy with no other backend than the local model, to which every model that the suite asks for is mapped."""
    (upstream,) = read_live().models.values()
    backend = {"protocol": LIVE, "models": dict.fromkeys(FRONTENDS.values(), upstream)}
    with Bench(scenarios()) as bench:
        yield bench.wait(bench.start_proxy({"listen": "127.0.0.1:0", "backends": {LIVE: backend}}))
    close_client()


@pytest.mark.parametrize(("frontend", "test_id"), CASES)
def test_the_suite_is_satisfied(frontend: str, test_id: str, base_url: str) -> None:
    result = run(frontend, test_id, base_url)
    assert result.status is not results.TestStatus.SKIPPED, result.errors
    if test_id in FAILURES:
        assert "HTTP 400" in result.errors[0], f"it passes, although {FAILURES[test_id]}: take it off the list"
    else:
        assert not result.errors


def test_every_exception_is_of_a_test() -> None:
    assert set(FAILURES) <= {test_id for _, test_id in CASES}
