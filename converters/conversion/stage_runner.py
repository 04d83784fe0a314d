"""Runs one stage, or takes its result from the cache.

A key is the digest of everything that the result depends on: the stage's inputs, the mission facts
that it uses, this program's code and the versions of its tools. Records time and peak memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from converters.conversion.stage_cache import Note, Result, StageCache
from converters.report.stage_times import Stage, Stopwatch
from edge.contract.artifact import digest_json

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class StageResult(Generic[Facts]):
    """A stage's result: what it found, the files it made by name, and the digest of both."""

    facts: Facts
    files: Mapping[str, bytes]
    digest: str


class StageRunner:
    """The stages of one conversion over one store."""

    def __init__(
        self, store: StageCache, watch: Stopwatch, *, common: Mapping[str, Any], note: Note
    ) -> None:
        self.watch = watch
        self._store = store
        self._common = common
        self._note = note

    def run(
        self,
        name: str,
        kind: type[Facts],
        uses: Mapping[str, Any],
        work: Callable[[Path], tuple[Facts, Mapping[str, bytes]]],
    ) -> StageResult[Facts]:
        """The result of `work`, or the one it had when it last ran with the same inputs.

        Args:
            kind: a dataclass of plain values, tuples, mappings and other such dataclasses.
            uses: plain values that the result follows from, beside those common to all stages.
            work: called with a folder for state, so that interrupted work may go on.
        """
        key = digest_json({"stage": name, "uses": uses, **self._common})
        adapter = TypeAdapter(kind)
        stored = self._store.get(name, key)
        if stored is not None:
            try:
                facts = adapter.validate_python(stored.facts)
            except ValidationError as error:
                self._store.distrust(name, str(error).splitlines()[0])
            else:
                self.watch.stages.append(Stage(name, stored.seconds, stored.peak_memory_mb))
                self._note(f"{name}: unchanged")
                return StageResult(facts, stored.files, stored.digest)
        self._store.clear(name, key)
        with self.watch.stage(name):
            made, files = work(self._store.begun(name, key))
        stage = self.watch.stages[-1]
        # In the form that a later run reads, so that both go on from the very same values.
        plain = adapter.dump_python(made)
        result = Result(plain, files, stage.seconds, stage.peak_memory_mb)
        self._store.put(name, key, result)
        return StageResult(adapter.validate_python(plain), files, result.digest)
