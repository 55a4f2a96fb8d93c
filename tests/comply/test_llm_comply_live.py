"""llm-comply with the local model: every frontend's format is valid with a real model's answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from llm_comply import result as results
from llm_comply.tests import get_tests

from crosswire.conformance.harness.testbed import Testbed
from crosswire.conformance.local_model.expectations import LOCAL_PROVIDER, is_installed, read_local_expectations

from .test_llm_comply import FRONTENDS, close_client, run, scenarios

pytestmark = [
    pytest.mark.skipif(
        not is_installed(), reason="the extra `local` is not installed: MLX has no wheels for this platform"
    ),
    # the suite resolves references by a class that jsonschema deprecates
    pytest.mark.filterwarnings("ignore:jsonschema.RefResolver is deprecated:DeprecationWarning"),
]

NO_VISION = "the local model takes no pictures: 400, which names the capability"

FAILURES: dict[str, str] = {
    "chat-image-input": NO_VISION,
    "image-input": NO_VISION,
    "anth-image-input": NO_VISION,
    "google-image-input": NO_VISION,
}
"""The tests that fail, and the reason. No other test may fail."""

CASES = [(frontend, test.id) for frontend in FRONTENDS for test in get_tests(frontend)]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Starts a proxy whose only backend is the local model, for every model that the suite requests."""
    (upstream,) = read_local_expectations().models.values()
    backend = {"protocol": LOCAL_PROVIDER, "models": dict.fromkeys(FRONTENDS.values(), upstream)}
    with Testbed(scenarios()) as bench:
        yield bench.wait(bench.start_proxy({"listen": "127.0.0.1:0", "backends": {LOCAL_PROVIDER: backend}}))
    close_client()


@pytest.mark.parametrize(("frontend", "test_id"), CASES)
def test_the_suite_passes(frontend: str, test_id: str, base_url: str) -> None:
    result = run(frontend, test_id, base_url)
    assert result.status is not results.TestStatus.SKIPPED, result.errors
    if test_id in FAILURES:
        assert "HTTP 400" in result.errors[0], f"it passes, although {FAILURES[test_id]}: take it off the list"
    else:
        assert not result.errors


def test_every_listed_exception_is_a_test() -> None:
    assert set(FAILURES) <= {test_id for _, test_id in CASES}
