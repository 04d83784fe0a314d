"""The lowered networks, for the tests of engines."""

from lowered_fixtures import classifier_lowered, lowered_by_name, road_lowered, yolox_lowered

__all__ = ["classifier_lowered", "lowered_by_name", "road_lowered", "yolox_lowered"]
