"""The compiled core, under sanitizers, against a model of docs/link.md on random lives."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from core_fuzz import UPDATES_A_LIFE, Call, Life, disagreement, life, measured
from core_model import Vehicle, payload
from mcu_probe import BEAT, COMMAND, HELLO
from patience import PATIENCE_S

from firmware_bridge.emulation.build import FIRMWARE
from firmware_bridge.protocol.codec import encode, fault_names
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, Reason

LIVES = 800  # 200,000 updates; scripts/fuzz_core.py runs as many as it is told


@pytest.mark.parametrize("first", range(0, LIVES, 100))
def test_the_core_does_what_the_document_says(probe_program: Path, first: int) -> None:
    lives = [life(seed) for seed in range(first, first + 100)]
    assert disagreement(probe_program, lives) is None


def test_the_lives_come_everywhere() -> None:
    """What no life reaches is not compared: every action and fault, released and latched."""
    answers = [line.split() for seed in range(60) for line in life(seed).expected[2:]]
    assert {int(words[0]) for words in answers} == set(Action)
    seen_faults = 0
    for words in answers:
        seen_faults |= int(words[6])
    assert seen_faults == (1 << len(fault_names())) - 1
    for action in (Action.NONE, Action.CAP_SPEED, Action.SLOW_DOWN):
        free = [words for words in answers if int(words[0]) == action and words[1] == "0"]
        assert len(free) > len(answers) / 200, action.name


@pytest.mark.requirement("R-LINK-18")
def test_how_often_it_is_called_makes_no_difference(probe_program: Path) -> None:
    """Updates in between, in which nothing arrives, change nothing of what comes after them."""
    dice = random.Random(18)
    sparse = [life(seed) for seed in range(9_000, 9_120)]
    dense, wanted = [], []
    for one in sparse:
        calls: list[Call] = []
        kept = [0, 1]
        vehicle, now_ms = Vehicle(0, True, False), one.boot_ms
        for call in one.calls:
            for _ in range(dice.randrange(3)):
                if call.now_ms - now_ms > 1:
                    now_ms = dice.randrange(now_ms, call.now_ms)
                    calls.append(Call(now_ms, vehicle, b"", 4096))
            calls.append(call)
            kept.append(len(calls) + 1)
            vehicle, now_ms = call.vehicle, call.now_ms
        dense.append(replace(one, calls=tuple(calls)))
        wanted.append(kept)
    answers = iter(measured(probe_program, sparse))
    with_more = iter(measured(probe_program, dense))
    for one, more, kept in zip(sparse, dense, wanted, strict=True):
        few = [next(answers) for _ in one.lines()]
        many = [next(with_more) for _ in more.lines()]
        for number, at in enumerate(kept):
            # All but the bytes sent: there are more Statuses, and their counters.
            assert few[number].split()[:7] == many[at].split()[:7], (one.seed, number)


def _is_noticed(program: Path) -> bool:
    """Whether core and model differ in one of few lives, some of them at a time."""
    some = ([life(seed) for seed in range(first, first + 10)] for first in range(0, 100, 10))
    return any(disagreement(program, lives) is not None for lives in some)


def test_a_model_of_other_limits_disagrees(
    probe_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison sees one millisecond more of any time, and 1 cm/s2 more of any braking."""
    for name in (
        "command_valid_max_ms",
        "heartbeat_timeout_ms",
        "escalation_ms",
        "frame_age_max_ms",
        "refused_shown_ms",
        "status_period_ms",
        "greeting_period_ms",
    ):
        longer = replace(LIMITS, **{name: getattr(LIMITS, name) + 1})
        monkeypatch.setattr("core_model.LIMITS", longer)
        assert _is_noticed(probe_program), name
    for action in list(Action)[Action.CAP_SPEED :]:
        row = LIMITS.action[action]
        harder = replace(row, deceleration_max_cmps2=row.deceleration_max_cmps2 + 1)
        rows = (*LIMITS.action[:action], harder, *LIMITS.action[action + 1 :])
        monkeypatch.setattr("core_model.LIMITS", replace(LIMITS, action=rows))
        assert _is_noticed(probe_program), action.name


def test_the_models_bytes_are_the_contracts() -> None:
    assert (
        payload(
            "HostHello",
            version=HELLO.version,
            boot_id=HELLO.boot_id,
            contract_hash=HELLO.contract_hash,
            limits_hash=HELLO.limits_hash,
        )
        == encode(HELLO)[1]
    )
    beat = replace(BEAT, loop_sequence=0xABCD, camera_age_ms=0x1234, as_of_tick_ms=0x2A5A5A)
    assert (
        payload(
            "Heartbeat",
            loop_sequence=0xABCD,
            camera_age_ms=0x1234,
            perception=1,
            canary=1,
            mode=1,
            as_of_tick_ms=0x2A5A5A,
        )
        == encode(beat)[1]
    )
    command = replace(
        COMMAND,
        action=Action.EMERGENCY_STOP,
        release=True,
        reason=Reason.SHUTDOWN,
        speed_ceiling_mps=99.99,
        deceleration_limit_mps2=7.77,
        valid_for_ms=777,
        as_of_tick_ms=0x155555,
    )
    assert (
        payload(
            "SafetyCommand",
            action=5,
            release=1,
            reason=9,
            speed_ceiling_cmps=9999,
            deceleration_limit_cmps2=777,
            valid_for_ms=777,
            as_of_tick_ms=0x155555,
        )
        == encode(command)[1]
    )


def test_the_script_ends_with_1_where_core_and_document_differ(
    root: Path, tmp_path: Path, probe_program: Path
) -> None:
    """And with 0 where they do not; it prints the seed that shows the difference."""
    script = [sys.executable, str(root / "scripts" / "fuzz_core.py"), "--updates", "5000"]
    same = subprocess.run(
        [*script, "--program", str(probe_program)], capture_output=True, text=True, check=False
    )
    assert same.returncode == 0, same.stdout + same.stderr
    source = (FIRMWARE / "core" / "safety.c").read_text()
    softer = source.replace("at_least(a.deceleration_cmps2, b.deceleration_cmps2)", "0u")
    assert softer != source
    (tmp_path / "safety.c").write_text(softer)
    files = ["core/mcu.c", "core/frame.c", "generated/brakepoint.c", "vehicle/vehicle.c"]
    include = [f"-I{FIRMWARE / part}" for part in ("core", "vehicle", "generated")]
    sources = [*files, "hal_probe/main.c"]
    subprocess.run(
        [
            *("cc", "-std=c11", "-O0", *include, str(tmp_path / "safety.c")),
            *(str(FIRMWARE / name) for name in sources),
            *("-o", str(tmp_path / "probe")),
        ],
        check=True,
        timeout=PATIENCE_S,
    )
    wrong = subprocess.run(
        [*script, "--program", str(tmp_path / "probe")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 1
    assert "seed" in wrong.stdout
    assert f"{5000 // UPDATES_A_LIFE} lives" in same.stdout


def test_a_life_is_a_function_of_its_seed() -> None:
    assert life(7) == life(7)
    assert isinstance(life(7), Life)
    assert life(7).lines() != life(8).lines()
