"""Notices that messages of one publisher were missed. Pure.

Theory of operation: every message carries the publisher's ``run`` (random per start) and a ``seq`` that
counts per topic. The publisher answers each subscription with the number of the last message, and lists
its numbers in heartbeats. A subscriber that compares them notices each loss: by the next message, and
where the last one was lost, by the next heartbeat. What was missed is never asked for again; it becomes
one gap on that topic, and the owner of the topic looks at the truth itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Tracker:
    """What one subscriber knows of one publisher. Every method gives the topics that have a gap."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._prefixes = tuple(topics)
        self._run: str | None = None
        self._seen: dict[str, int] = {}

    def acknowledged(self, run: str, topic: str, last_seq: int) -> set[str]:
        """Take the answer to a subscription, ours or another's. A gap unless nothing was missed."""
        self._is_run(run)
        known = self._seen.get(topic)
        if known is not None and last_seq <= known:
            return set()
        self._seen[topic] = last_seq
        return {topic}

    def received(self, run: str, topic: str, seq: int) -> set[str]:
        """Take a message. A last value that is sent again is none that was missed."""
        if self._is_run(run):
            self._seen[topic] = seq
            return {topic}
        known = self._seen.get(topic)
        if known is not None and seq <= known:
            return set()
        self._seen[topic] = seq
        return set() if known is not None and seq == known + 1 else {topic}

    def heartbeat(self, run: str, seqs: Mapping[str, int]) -> set[str]:
        """Take the numbers that a publisher lists."""
        self._is_run(run)
        gaps = set()
        for topic, seq in seqs.items():
            if topic.startswith(self._prefixes) and seq > self._seen.get(topic, 0):
                self._seen[topic] = seq
                gaps.add(topic)
        return gaps

    def _is_run(self, run: str) -> bool:
        """Tell whether this is a run that was not known; all numbers start anew with it."""
        if run == self._run:
            return False
        self._run = run
        self._seen.clear()
        return True
