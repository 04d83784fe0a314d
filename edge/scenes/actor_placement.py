"""Places random actors on a road: traffic in lanes, people beside and on the road, signs.

In: a random generator and the conditions. Out: `Actor`s. None stands inside another one or, in a
tunnel, behind its walls.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.perception.conditions import Conditions
from edge.scenes.world import (
    AWAY,
    LEFTWARDS,
    RIGHTWARDS,
    ROAD_TABLE,
    SIGN_FACES,
    TOWARDS,
    Actor,
    pedestrian,
    sign,
    vehicle,
)

_PEOPLE = {
    "city": (0.15, 0.25, 0.30, 0.30),
    "rural": (0.25, 0.35, 0.25, 0.15),
    "highway": (0.55, 0.25, 0.20),
}
"""Probabilities of no, one, two, three people: more than on a real road, since they matter most."""
_FAST_FACES = ("limit 80", "limit 120", "no overtaking", "warning", "limit 120", "curve")


def random_actors(random: np.random.Generator, conditions: Conditions) -> list[Actor]:
    """A road with up to four vehicles, three people and two signs, sometimes none at all."""
    name = conditions.road or "city"
    tunnel = conditions.light == "tunnel"
    actors = [*_vehicles(random, name, tunnel=tunnel), *_people(random, name, tunnel=tunnel)]
    actors += _signs(random, name, tunnel=tunnel)
    return [replace(actor, id=number) for number, actor in enumerate(actors)]


def _look(random: np.random.Generator) -> int:
    return int(random.integers(0, 1 << 16))


def _vehicles(random: np.random.Generator, name: str, *, tunnel: bool) -> list[Actor]:
    road = ROAD_TABLE[name]
    actors: list[Actor] = []
    beside = () if tunnel else road.beside_m
    lanes = [*((x, AWAY) for x in road.ours_m), *((x, TOWARDS) for x in road.oncoming_m)]
    lanes += [(x, AWAY) for x in beside]
    # Our own lane twice as often: it is the one that matters.
    lanes = [lanes[0], *lanes]
    for _ in range(int(random.integers(0, 5))):
        x, facing = lanes[int(random.integers(0, len(lanes)))]
        z = 6.0 * float(np.exp(random.uniform(0.0, 1.9)))
        braking = bool(random.random() < 0.35)
        if name == "city" and not tunnel and random.random() < 0.08:
            facing = (LEFTWARDS, RIGHTWARDS)[int(random.integers(0, 2))]
        aside = float(random.normal(0.0, 0.2))
        actor = vehicle(x + aside, z, look=_look(random), facing=facing, braking=braking)
        if all(abs(o.z_m - z) > 12.0 or abs(o.x_m - actor.x_m) > 2.6 for o in actors):
            actors.append(actor)
    return actors


def _people(random: np.random.Generator, name: str, *, tunnel: bool) -> list[Actor]:
    road = ROAD_TABLE[name]
    actors: list[Actor] = []
    odds = (0.5, 0.3, 0.2) if tunnel else _PEOPLE[name]
    for _ in range(int(random.choice(len(odds), p=odds))):
        z = 5.0 * float(np.exp(random.uniform(0.0, 1.65)))
        crossing = bool(random.random() < (0.55 if name != "highway" else 0.25))
        side = int(random.integers(0, 2))
        edge = (road.left_m - 1.2, road.right_m + 1.2)[side]
        x = float(random.uniform(road.left_m, road.right_m)) if crossing else edge
        x += float(random.normal(0.0, 0.4))
        stride = float(random.uniform(-1.0, 1.0)) * (1.0 if crossing else 0.5)
        facing = (LEFTWARDS if random.random() < 0.5 else RIGHTWARDS) if crossing else (
            AWAY if random.random() < 0.5 else TOWARDS
        )  # fmt: skip
        actors.append(pedestrian(x, z, look=_look(random), stride=stride, facing=facing))
    return actors


def _signs(random: np.random.Generator, name: str, *, tunnel: bool) -> list[Actor]:
    road = ROAD_TABLE[name]
    actors: list[Actor] = []
    faces = _FAST_FACES if name == "highway" else SIGN_FACES
    for _ in range(int(random.integers(0, 3))):
        z = 6.0 * float(np.exp(random.uniform(0.0, 1.15)))
        left, right = road.left_m - 1.0, road.right_m + 1.0
        if tunnel:
            left, right = road.walls_m[0] + 0.6, road.walls_m[1] - 0.6
        x = (left, right)[int(random.random() < 0.75)] + float(random.normal(0.0, 0.15))
        if name == "highway" and x > 0 and z < 15.0:
            z += 9.0
        face = faces[int(random.integers(0, len(faces)))]
        actors.append(sign(x, z, look=_look(random), face=face))
    return actors
