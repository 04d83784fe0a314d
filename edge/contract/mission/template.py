"""The text of mission_template.toml: a complete first mission with a comment on every key."""

from __future__ import annotations

from importlib import resources


def mission_template() -> str:
    """The template as text; `init` writes it, and `init --model` fits it to a model."""
    return resources.files("edge.contract.mission").joinpath("mission_template.toml").read_text()
