"""Rules of the mission's `[camera.geometry]` that span keys; each yields every broken place.

They belong to the table in `cross_checks.py`, read plain dictionaries and never raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge.contract.mission.raw_values import Mistake, Raw, number, section


def _geometry_is_of_this_camera(raw: Raw) -> Iterator[Mistake]:
    camera, geometry = section(raw, "camera"), section(raw, "camera", "geometry")
    sizes = [(number(of.get("width_px")), number(of.get("height_px"))) for of in (camera, geometry)]
    if None in (*sizes[0], *sizes[1]):
        return
    (wide, high), (of_wide, of_high) = sizes
    if (wide, high) != (of_wide, of_high):
        yield (
            "camera.geometry",
            f"was measured on pictures of {of_wide:g} x {of_high:g}, but the camera delivers "
            f"{wide:g} x {high:g}: these are intrinsics of another camera or mode",
        )
    across, down = number(geometry.get("cx_px")), number(geometry.get("cy_px"))
    for key, place, size in (("cx_px", across, of_wide), ("cy_px", down, of_high)):
        if place is not None and size is not None and not 0.25 * size <= place <= 0.75 * size:
            yield f"camera.geometry.{key}", f"{place:g} is far from the middle of {size:g} pixels"


CAMERA_CHECKS: tuple[Callable[[Raw], Iterator[Mistake]], ...] = (_geometry_is_of_this_camera,)
