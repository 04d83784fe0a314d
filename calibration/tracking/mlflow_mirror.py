"""A child process that writes one run into MLflow: parameters, metrics, tags and files.

In: a request on stdin. Out: the run in a SQLite file, with its files beside it; where it fails, the
last line on stderr says why. Uses no network, and no decision depends on what MLflow holds.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.install import pip_install

MOST_IN_A_BATCH = 100
"""MLflow accepts so many parameters at once, and MOST_CHARACTERS in a value."""
MOST_CHARACTERS = 6000


def main() -> None:
    """Mirrors the run of a request on stdin."""
    request = json.loads(sys.stdin.read())
    try:
        put(Path(request["store"]), request["run"], [Path(file) for file in request["files"]])
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error}; {pip_install('tracking')}\n")
        raise SystemExit(3) from None


def put(store: Path, run: Mapping[str, Any], files: list[Path]) -> str:
    """Writes a run into the SQLite file `store`; returns its id in MLflow."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    store.parent.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    known = client.get_experiment_by_name(run["mission"])
    experiment = (
        known.experiment_id
        if known is not None
        else client.create_experiment(
            run["mission"], artifact_location=(store.parent / f"{store.stem}-files").as_uri()
        )
    )
    began = datetime.strptime(run["started"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    start_ms = round(began.timestamp() * 1000)
    end_ms = start_ms + round(run["seconds"] * 1000)
    made = client.create_run(
        experiment,
        start_time=start_ms,
        run_name=f"{run['started']}-{run['kind']}",
        tags=dict(_tags(run)),
    )
    name = str(made.info.run_id)
    metrics = [
        Metric(_key(key), float(value), end_ms, 0)
        for key, value in run["metrics"].items()
        if value is not None
    ]
    client.log_batch(name, metrics=metrics)
    params = [
        Param(_key(key), str(value)[:MOST_CHARACTERS]) for key, value in run["parameters"].items()
    ]
    for row in range(0, len(params), MOST_IN_A_BATCH):
        client.log_batch(name, params=params[row : row + MOST_IN_A_BATCH])
    for file in files:
        client.log_artifact(name, str(file))
    client.set_terminated(name, "FAILED" if run["passed"] is False else "FINISHED", end_ms)
    return name


def _tags(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "kind", run["kind"]
    if run["passed"] is not None:
        yield "gates", "passed" if run["passed"] else "failed"
    for gate in run["gates"]:
        yield _key(f"gate {gate['name']}"), gate["sentence"]
    for section in ("inputs", "outputs", "environment"):
        for key, value in run[section].items():
            yield _key(f"{section} {key}"), str(value)


def _key(text: str) -> str:
    """A name in the characters that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", text)[:250]


if __name__ == "__main__":
    main()
