"""Fewer calls for the same: a journal's events as MLflow needs them."""

import itertools
from collections.abc import Iterable, Iterator

from jobs.journal import Event

_MAX_POINTS = 1000
"""Points of curves that MLflow takes in one call."""


def condensed(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events of a journal as few as MLflow needs: only the last beginning or end, metrics in batches.

    What was given up comes first: it is to be known before the end.
    """
    everything = list(events)
    yield from (each for each in everything if each["event"] == "unanswered")
    turns = [each for each in everything if each["event"] in {"resume", "end"}]
    kept = [each for each in everything if each not in turns[:-1] and each["event"] != "unanswered"]
    for is_metrics, group in itertools.groupby(kept, key=lambda each: each["event"] == "metrics"):
        events = list(group)
        yield from _batches(events) if is_metrics else events


def _batches(events: Iterable[Event]) -> Iterator[Event]:
    """Yield one event for many with metrics, of no more points than MLflow takes at a time."""
    batch: list[Event] = []
    for event in events:
        if sum(len(each["metrics"]) for each in [*batch, event]) > _MAX_POINTS:
            yield {"event": "metrics", "all": batch}
            batch = []
        batch.append(event)
    yield {"event": "metrics", "all": batch}
