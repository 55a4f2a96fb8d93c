"""Metrics of several processes as one: what is counted is added up, and what is at a moment is told as it must be."""

from __future__ import annotations

from typing import Any

from crosswire.proxy.observability.metrics import Metrics
from crosswire.proxy.observability.metrics_sum import add_up, by_worker, families_of, render
from crosswire.proxy.observability.request_record import Attempt, Record


def process(requests: int, *, in_flight: int = 0, breaker: Any = "closed", good: bool = True) -> list[list[Any]]:
    """The metrics of a process that served so many requests."""
    metrics = Metrics()
    for number in range(requests):
        record = Record(f"req_{number}", 0.0, "openai-chat", attempts=[Attempt("b", "m", "answered", ms=30.0)])
        record.backend_used, record.outcome, record.total_ms = "b", "answered", 40.0
        metrics.add(record)
    metrics.in_flight, metrics.breakers, metrics.config_good = in_flight, {"b": breaker}, good
    return families_of(metrics.collect())


def lines(families: list[list[Any]], *names: str) -> list[str]:
    """The samples of these names."""
    text = render(families).decode()
    return [line for line in text.splitlines() if line.startswith(names)]


def test_one_process_is_rendered_as_before() -> None:
    metrics = Metrics()
    metrics.breakers = {"b": "open"}
    assert render(families_of(metrics.collect())) == metrics.render()


def test_counters_and_histograms_are_added_up() -> None:
    both = add_up((process(3), process(4)))
    assert lines(both, "crosswire_requests_total", "crosswire_upstream_seconds_count") == [
        'crosswire_requests_total{backend="b",frontend="openai-chat",outcome="answered"} 7.0',
        'crosswire_upstream_seconds_count{backend="b"} 7.0',
    ]
    assert 'crosswire_upstream_seconds_bucket{backend="b",le="0.05"} 7.0' in lines(both, "crosswire_upstream_seconds")


def test_gauges_have_their_own_rules() -> None:
    both = add_up((process(0, in_flight=2, breaker="open", good=False), process(0, in_flight=3)))
    assert lines(both, "crosswire_requests_in_flight", "crosswire_breaker_state", "crosswire_config_good") == [
        'crosswire_breaker_state{backend="b"} 2.0',
        "crosswire_config_good 0.0",
        "crosswire_requests_in_flight 5.0",
    ]


def test_of_a_process_that_has_ended_only_what_it_counted_stays() -> None:
    past = add_up((process(5, in_flight=9, breaker="open"),), past=True)
    both = add_up((process(1, in_flight=1), past))
    assert lines(both, "crosswire_requests_total")[0].endswith(" 6.0")
    assert lines(both, "crosswire_requests_in_flight") == ["crosswire_requests_in_flight 1.0"]
    assert lines(both, "crosswire_breaker_state") == ['crosswire_breaker_state{backend="b"} 0.0']


def test_each_worker_is_told_apart() -> None:
    found = by_worker({"1": process(3, in_flight=1)}, {"1": 1, "2": 4})
    assert lines(found, "crosswire_") == [
        'crosswire_worker_requests_total{worker="1"} 3.0',
        'crosswire_worker_in_flight{worker="1"} 1.0',
        'crosswire_worker_up{worker="1"} 1.0',
        'crosswire_worker_up{worker="2"} 0.0',
        'crosswire_worker_starts_total{worker="1"} 1.0',
        'crosswire_worker_starts_total{worker="2"} 4.0',
    ]
