"""The table of verbs: name, function, line of help, extra.

Names functions as strings, so that no import points upwards. Values only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """One row: the function as "module:name", its line of help, the extra with its imports."""

    target: str
    help: str
    extra: str | None = None


VERBS: dict[str, Verb] = {
    "init": Verb("edge.commands.mission:init", "write a first mission file, with comments"),
    "mission check": Verb(
        "edge.commands.mission:check", "check a mission file, all mistakes at once"
    ),
    "policy check": Verb("edge.commands.policy:check", "prove a policy by exploring every state"),
    "policy explain": Verb("edge.commands.policy:explain", "say why an action was taken in a run"),
    "policy diagram": Verb("edge.commands.policy:diagram", "draw rules, faults and modes"),
    "data lock": Verb(
        "calibration.commands.data:data_lock", "write down what a data set holds", "convert"
    ),
    "data check": Verb(
        "calibration.commands.data:data_check", "look for faults in a data set", "convert"
    ),
    "data split": Verb(
        "calibration.commands.data:data_split", "part a data set by whole drives", "convert"
    ),
    "data diff": Verb(
        "calibration.commands.data:data_diff", "what changed between two locks", "convert"
    ),
    "data masks": Verb(
        "calibration.commands.data_masks:data_masks", "draw polygons as masks", "convert"
    ),
    "train": Verb(
        "converters.commands.train:train", "fit the mission's network on its data", "convert"
    ),
    "calibrate": Verb(
        "converters.commands.calibrate:calibrate", "take INT8 ranges from road frames", "convert"
    ),
    "ranges diff": Verb(
        "calibration.commands.ranges:diff", "what two ranges.json differ in", "convert"
    ),
    "ranges merge": Verb(
        "converters.commands.calibrate:merge", "join shards of a calibration", "convert"
    ),
    "ranges plot": Verb(
        "calibration.commands.ranges:plot", "draw ranges over the values", "convert"
    ),
    "convert": Verb(
        "converters.commands.convert:convert",
        "write float, INT8 and CPU graphs with proof",
        "convert",
    ),
    "finetune": Verb(
        "converters.commands.finetune:finetune",
        "fit the weights to the INT8 of a conversion",
        "convert",
    ),
    "evaluate": Verb(
        "calibration.commands.evaluate:evaluate",
        "judge a network on labelled frames, with intervals",
        "convert",
    ),
    "compare": Verb(
        "converters.commands.compare:compare",
        "what one network loses against another, with labels or without",
        "convert",
    ),
    "runs list": Verb("edge.commands.runs:list_", "every recorded run of a mission"),
    "runs show": Verb("edge.commands.runs:show", "one run: parameters, gates, figures, digests"),
    "runs compare": Verb("edge.commands.runs:compare", "what differs between runs"),
    "parity": Verb(
        "converters.commands.parity:parity",
        "where a network's forms come apart, by layer",
        "convert",
    ),
    "lint": Verb(
        "converters.commands.lint:lint", "check anyone's INT8 file by the rules", "convert"
    ),
    "engine build": Verb(
        "edge.commands.engine:build", "build a TensorRT engine with its facts", "rtx"
    ),
    "engine inspect": Verb(
        "edge.commands.engine:inspect", "what an engine is, and what it computes in"
    ),
    "camera calibrate": Verb(
        "edge.commands.camera:calibrate",
        "a camera's intrinsics from pictures of a chessboard",
        "camera",
    ),
    "camera pitch": Verb(
        "edge.commands.camera:pitch",
        "how far a camera looks down, from pictures of a straight road",
        "camera",
    ),
    "policy reaction": Verb(
        "edge.commands.reaction:reaction", "how late each rule acts, and what it still avoids"
    ),
    "run": Verb(
        "edge.commands.run:run", "camera frames to safety actions, under budgets", "cpu,camera"
    ),
    "bench": Verb(
        "edge.commands.bench:bench",
        "measure every stage on this machine, cold and hot",
        "cpu,camera",
    ),
    "qualify": Verb(
        "edge.commands.qualify:qualify",
        "prove a device and a model on it, with a page to send",
        "cpu,camera",
    ),
    "qualify show": Verb(
        "edge.commands.qualify:show", "check the record of a qualification and print it"
    ),
    "scenes": Verb(
        "edge.commands.scenes:scenes",
        "write generated road scenes: a clip, or stills as a data set",
        "camera",
    ),
    "firmware": Verb(
        "edge.commands.firmware:firmware", "run the microcontroller firmware on a pty"
    ),
}
