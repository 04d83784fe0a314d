"""Rules of the mission's `[data]` that span several keys; each yields every broken place.

They belong to the table in `cross_checks.py`, read plain dictionaries and never raise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from edge.contract.mission.raw_values import Mistake, Raw, rows, section, twice
from edge.contract.urls import without_secrets


def _data_complete(raw: Raw) -> Iterator[Mistake]:
    data = section(raw, "data")
    kind, has_root = data.get("kind"), data.get("root") is not None
    has_url = data.get("url") is not None
    if kind in ("images", "arrays") and not has_root and not has_url:
        yield "data.root", f"missing: kind = '{kind}' needs a folder"
    if has_url and kind != "images":
        yield "data.url", "goes with kind = 'images'"
    elif has_url and has_root:
        yield "data.url", "give either root, a folder, or url"
    if kind == "scenes" and (has_root or data.get("table") is not None):
        yield "data", "kind = 'scenes' is generated: root and table go with kind = 'images'"
    if kind == "scenes" and data.get("lock") is not None:
        yield "data.lock", "kind = 'scenes' is generated: there is nothing to lock"
    if (data.get("table") is None) != (data.get("group") is None):
        yield "data", "table and group go together"
    if data.get("split") is not None and data.get("lock") is None:
        yield "data.split", "is of locked data: name their lock in data.lock"
    if data.get("split") is not None and rows(data.get("also")):
        yield "data.split", "parts data.root alone: it does not go with data.also"


_LIKE_A_URL = re.compile(r"(^|/)[A-Za-z][A-Za-z0-9+.-]+:/")
"""A URL, also one that lost a slash because it was handled as a path."""


def _urls_hold_no_secret(raw: Raw) -> Iterator[Mistake]:
    data = section(raw, "data")
    url = data.get("url")
    if isinstance(url, str) and (shown := without_secrets(url)) != url:
        yield (
            "data.url",
            "a user, a password, a token or a signature does not belong into a URL: runs and "
            f"reports repeat it; found more than {shown}",
        )
    places = [
        ("data.root", data.get("root")),
        ("gates.labelled", section(raw, "gates").get("labelled")),
        ("tracking.mlflow", section(raw, "tracking").get("mlflow")),
    ]
    places += [
        (f"data.also[{number}].root", row.get("root"))
        for number, row in enumerate(rows(data.get("also")))
        if isinstance(row, Mapping)
    ]
    for key, value in places:
        if isinstance(value, str) and _LIKE_A_URL.search(value):
            yield key, "is a URL, where a path is meant; a URL goes into data.url"


def _further_data(raw: Raw) -> Iterator[Mistake]:
    data = section(raw, "data")
    further = [row for row in rows(data.get("also")) if isinstance(row, Mapping)]
    if further and data.get("kind") != "images":
        yield "data.also", "further folders go with kind = 'images'"
    for name in twice([row.get("name") for row in further]):
        yield "data.also", f"two folders have the name '{name}'"
    roots = [row.get("root") for row in (data, *further) if row.get("root") is not None]
    for root in twice(roots):
        yield "data.also", f"{root} is given more than once"
    for place, row in enumerate(further):
        if (row.get("table") is None) != (row.get("group") is None):
            yield f"data.also[{place}]", "table and group go together"


def _clips_have_truth(raw: Raw) -> Iterator[Mistake]:
    for place, row in enumerate(rows(section(raw, "data").get("clips"))):
        if not isinstance(row, Mapping):
            continue
        has = {key: row.get(key) is not None for key in ("video", "truth", "story")}
        if has["story"] == has["video"] or has["video"] != has["truth"]:
            yield f"data.clips[{place}]", "give a story, or a video and its truth"
        drawn = [key for key in ("seed", "weather", "light", "road") if row.get(key)]
        if has["video"] and drawn:
            yield f"data.clips[{place}].{drawn[0]}", "goes with a story, which is drawn"


DATA_CHECKS: tuple[Callable[[Raw], Iterator[Mistake]], ...] = (
    _data_complete,
    _urls_hold_no_secret,
    _further_data,
    _clips_have_truth,
)
