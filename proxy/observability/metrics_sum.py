"""Sums of the metrics of several processes, and their text; between processes they are plain lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

Family: TypeAlias = Sequence[Any]
"""A metric's name, help, type, and samples, each of which is a name, labels and a value."""

ADDED = ("counter", "histogram")
"""The types whose numbers are added up, also those of processes that have ended."""

SMALLEST = ("crosswire_config_good", "crosswire_store_good", "crosswire_state_good", "crosswire_rate_limit_remaining")
"""The gauges of which the smallest counts."""

LARGEST = (
    *("crosswire_breaker_state", "crosswire_rate_limit"),
    *("crosswire_budget_spent_dollars", "crosswire_budget_dollars"),  # every worker tells those of all
)
"""The gauges of which the largest counts; all others are added up."""

SUMMED = {
    "crosswire_requests": "crosswire_worker_requests",
    "crosswire_requests_in_flight": "crosswire_worker_in_flight",
}
"""The metrics that are told for each worker too, each as one number, by the names under which they are."""


def families_of(metrics: Iterable[Metric]) -> list[list[Any]]:
    """The metrics of one process as plain lists."""
    return [
        [each.name, each.documentation, each.type, [[s.name, dict(s.labels), s.value] for s in each.samples]]
        for each in metrics
    ]


def add_up(processes: Iterable[Sequence[Family]], *, past: bool = False) -> list[list[Any]]:
    """The sums of several processes; of `past` ones only what is counted, not what was at some moment."""
    found: dict[str, tuple[str, str, dict[tuple[Any, ...], float]]] = {}
    for families in processes:
        for name, text, kind, samples in families:
            if past and kind not in ADDED:
                continue
            sums = found.setdefault(name, (text, kind, {}))[2]
            for sample, labels, value in samples:
                key = sample, *labels.items()
                if key not in sums:
                    sums[key] = value
                elif name in SMALLEST:
                    sums[key] = min(sums[key], value)
                elif name in LARGEST:
                    sums[key] = max(sums[key], value)
                else:
                    sums[key] += value
    return [
        [name, text, kind, [[sample, dict(labels), value] for (sample, *labels), value in sums.items()]]
        for name, (text, kind, sums) in found.items()
    ]


def by_worker(workers: Mapping[str, Sequence[Family]], starts: Mapping[str, int]) -> list[list[Any]]:
    """The families that tell the workers apart: requests, those under way, and how often each was started."""
    found: list[list[Any]] = []
    for name, told in SUMMED.items():
        kind = "counter" if name == "crosswire_requests" else "gauge"
        samples = [
            [f"{told}_total" if kind == "counter" else told, {"worker": worker}, _total(families, name)]
            for worker, families in workers.items()
        ]
        what = "Requests that each worker has served since it began" if kind == "counter" else "Requests under way"
        found.append([told, what, kind, samples])
    up = [["crosswire_worker_up", {"worker": worker}, float(worker in workers)] for worker in starts]
    found.append(["crosswire_worker_up", "1 while the worker serves", "gauge", up])
    began = [["crosswire_worker_starts_total", {"worker": worker}, number] for worker, number in starts.items()]
    found.append(["crosswire_worker_starts", "How often each worker was started", "counter", began])
    return found


def render(families: Iterable[Family]) -> bytes:
    """The families in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collected(families))
    return generate_latest(registry)


def _total(families: Sequence[Family], name: str) -> float:
    return float(sum(value for each in families if each[0] == name for _, _, value in each[3]))


class _Collected(Collector):
    """Families as a registry asks for them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        for name, text, kind, samples in self._families:
            family = Metric(name, text, kind)
            for sample, labels, value in samples:
                family.add_sample(sample, labels, value)
            yield family
