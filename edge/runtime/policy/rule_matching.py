"""Whether a rule's `when` holds for one frame: objects by their tracks, areas by the label map, or
what the whole frame is like.

Pure; confirming over frames is in rule_state.py. Never takes what is not known for a "no".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edge.contract.mission.sections.policy import When
from edge.perception.decode import CLASSES, CONDITION
from edge.perception.values import Classified, LabelMap
from edge.runtime.policy.area_coverage import WHOLE, cover_of
from edge.runtime.policy.facts import Seen
from edge.runtime.policy.zones import Polygon, inside, standing_point
from edge.runtime.tracking.time_to_contact import BOX_SETTINGS
from edge.runtime.tracking.tracker import Track


def matches(
    when: When, seen: Seen, *, labels: Sequence[str], zones: Mapping[str, Polygon]
) -> bool | None:
    """Whether a perceived frame holds what the rule looks for; None: the frame does not tell.

    A scene that is not known matches nothing, and is no sign that the scene is gone either. Nor is
    an area that would be large enough if all that is not sure were of the label, an object that has
    not been followed for long enough to tell whether it closes in, or a frame of which a limit of
    work left detections out.
    """
    if when.scene is not None:
        return _scene_matches(when, seen.scene, labels=labels)
    if when.share_min is not None:
        return _area_matches(when, seen.areas, when.share_min, labels=labels, zones=zones)
    return _objects_match(when, seen, labels=labels, zones=zones)


def _objects_match(
    when: When, seen: Seen, *, labels: Sequence[str], zones: Mapping[str, Polygon]
) -> bool | None:
    found = matching(when, seen.tracks, labels=labels, zones=zones, frame_size=seen.frame_size)
    if len(found) >= when.count:
        return True
    if seen.left_out:
        return None
    if when.time_to_contact_max_s is None:
        return False
    # Of those that may yet turn out to close in: as many as would be missing.
    near = matching(
        when,
        [track for track in seen.tracks if not _tells_contact(track)],
        labels=labels,
        zones=zones,
        frame_size=seen.frame_size,
        closing=False,
    )
    return None if len(found) + len(near) >= when.count else False


def _tells_contact(track: Track) -> bool:
    """Whether the track was followed for so long that its boxes would show it closing in."""
    followed_s = (track.last_ns - track.first_ns) / 1e9
    return math.isfinite(track.time_to_contact_s) or (
        track.hits >= BOX_SETTINGS.samples_min and followed_s >= BOX_SETTINGS.span_min_s
    )


def _scene_matches(
    when: When, scene: Sequence[Classified], *, labels: Sequence[str]
) -> bool | None:
    heads = {said.head: said for said in scene}
    # A classifier's labels and the conditions are disjoint; a detector's labels are no scenes.
    said = heads.get(CLASSES if CLASSES in heads and when.scene in labels else CONDITION)
    if said is None or said.label is None:
        return None
    return said.label == when.scene and said.score >= when.confidence


def _area_matches(
    when: When,
    areas: LabelMap | None,
    share_min: float,
    *,
    labels: Sequence[str],
    zones: Mapping[str, Polygon],
) -> bool | None:
    if areas is None or when.label is None:
        return None
    cover = cover_of(
        areas,
        labels.index(when.label),
        confidence=when.confidence,
        zone=WHOLE if when.zone is None else zones[when.zone],
    )
    if cover.sure >= share_min:
        return True
    return None if cover.possible >= share_min else False


def matching(
    when: When,
    tracks: Sequence[Track],
    *,
    labels: Sequence[str],
    zones: Mapping[str, Polygon],
    frame_size: tuple[int, int],
    closing: bool = True,
) -> tuple[Track, ...]:
    """Tracks that the newest frame shows and that match all of `when` but its count. A track counts
    for the label of its last frames and for the one that the newest frame gives it.

    `frame_size` is (width_px, height_px). `closing` False: whatever their time to contact.
    """
    width, height = frame_size
    asked = when.time_to_contact_max_s if closing else None
    within_s = math.inf if asked is None else asked

    def matches(track: Track) -> bool:
        return (
            track.missed_frames == 0
            and any(labels[label] == when.label for label in track.labels)
            and track.score >= when.confidence
            and (track.box[3] - track.box[1]) / height >= when.height_min
            and track.time_to_contact_s <= within_s
            and (
                when.zone is None or inside(standing_point(track, width, height), zones[when.zone])
            )
        )

    return tuple(track for track in tracks if matches(track))
