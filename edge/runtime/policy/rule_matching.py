"""Whether a rule's `when` holds for one frame: objects by their tracks, areas by the label map, the
scene by the classification heads.

In: a rule's `when` and the facts of one perceived frame. Out: True, False, or None where the frame
does not tell (an inconclusive frame). Pure; rule_state.py confirms over frames. Never takes
"not known" for "no".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edge.contract.mission.sections.policy import When
from edge.perception.decode import CLASSES, CONDITION
from edge.perception.values import Classification, LabelMap
from edge.runtime.policy.area_coverage import WHOLE, cover_of
from edge.runtime.policy.facts import FrameFacts
from edge.runtime.policy.zones import Polygon, inside, standing_point
from edge.runtime.tracking.time_to_contact import BOX_SETTINGS
from edge.runtime.tracking.track import Track


def matches(
    when: When, frame: FrameFacts, *, labels: Sequence[str], zones: Mapping[str, Polygon]
) -> bool | None:
    """Whether a perceived frame matches the rule's `when`; None: the frame does not tell.

    A frame does not tell (R-RUN-16) where its scene is not known; where the area would be large
    enough if every cell without enough confidence had the label; where too few objects match, but
    some have not been followed for long enough to know whether they close in, or have no distance;
    and where too few match and a limit of work left detections out.
    """
    if when.scene is not None:
        return _scene_matches(when, frame.scene, labels=labels)
    if when.share_min is not None:
        return _area_matches(when, frame.areas, when.share_min, labels=labels, zones=zones)
    return _objects_match(when, frame, labels=labels, zones=zones)


def _objects_match(
    when: When, frame: FrameFacts, *, labels: Sequence[str], zones: Mapping[str, Polygon]
) -> bool | None:
    found = matching_tracks(
        when, frame.tracks, labels=labels, zones=zones, frame_size=frame.frame_size
    )
    if len(found) >= when.count:
        return True
    if frame.left_out:
        return None
    # Tracks that may be near, or may yet turn out to close in: enough of them make up the count.
    open_limits = when.model_copy(update={"time_to_contact_max_s": None, "distance_max_m": None})
    undecided = [
        track
        for track in matching_tracks(
            open_limits, frame.tracks, labels=labels, zones=zones, frame_size=frame.frame_size
        )
        if track not in found
        and _possibly(_closes_in(when, track))
        and _possibly(_is_near(when, track))
    ]
    return None if len(found) + len(undecided) >= when.count else False


def _possibly(verdict: bool | None) -> bool:
    return verdict is not False


def _closes_in(when: When, track: Track) -> bool | None:
    """Whether the track meets `when.time_to_contact_max_s`; None: not known yet."""
    if when.time_to_contact_max_s is None or track.time_to_contact_s <= when.time_to_contact_max_s:
        return True
    return False if _contact_is_known(track) else None


def _is_near(when: When, track: Track) -> bool | None:
    """Whether the track may be as near as `when.distance_max_m`; None: it has no distance."""
    if when.distance_max_m is None:
        return True
    if track.distance is None or track.distance.near_m is None:
        return None
    return track.distance.near_m <= when.distance_max_m


def _contact_is_known(track: Track) -> bool:
    """Whether the track was followed for long enough that its boxes would show it closing in."""
    followed_s = (track.last_ns - track.first_ns) / 1e9
    return math.isfinite(track.time_to_contact_s) or (
        track.hits >= BOX_SETTINGS.samples_min and followed_s >= BOX_SETTINGS.span_min_s
    )


def _scene_matches(
    when: When, scene: Sequence[Classification], *, labels: Sequence[str]
) -> bool | None:
    heads = {answer.head: answer for answer in scene}
    # A classifier's labels and the conditions are disjoint; a detector's labels are no scenes.
    answer = heads.get(CLASSES if CLASSES in heads and when.scene in labels else CONDITION)
    if answer is None or answer.label is None:
        return None
    return answer.label == when.scene and answer.score >= when.confidence


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


def matching_tracks(
    when: When,
    tracks: Sequence[Track],
    *,
    labels: Sequence[str],
    zones: Mapping[str, Polygon],
    frame_size: tuple[int, int],
) -> tuple[Track, ...]:
    """Tracks that the newest frame shows and that match all of `when` but its count.

    A track counts under both its labels (R-RUN-25). `frame_size` is (width_px, height_px).
    """
    width, height = frame_size

    def matches(track: Track) -> bool:
        return (
            track.missed_frames == 0
            and any(labels[label] == when.label for label in track.labels)
            and track.score >= when.confidence
            and (track.box[3] - track.box[1]) / height >= when.height_min
            and _closes_in(when, track) is True
            and _is_near(when, track) is True
            and (
                when.zone is None or inside(standing_point(track, width, height), zones[when.zone])
            )
        )

    return tuple(track for track in tracks if matches(track))
