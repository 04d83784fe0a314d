"""Each of these small wrongs in the core must be noticed by the core cases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from core_registry import all_cases
from mcu_probe import Mcu, Probe

from firmware_bridge.firmware_build import FIRMWARE

CASES = all_cases()
# (file, what stands there once, what a slip of the hand would make of it)
MUTANTS = [
    ("safety.c", "return action >= BP_COMFORT_STOP;", "return action > BP_COMFORT_STOP;"),
    ("safety.c", "a.action >= b.action ? a : b", "a.action >= b.action ? b : a"),
    ("safety.c", "at_most(a.ceiling_cmps, b.ceiling_cmps)", "b.ceiling_cmps"),
    ("safety.c", "if (a.action == b.action) {", "if (a.action != b.action) {"),
    ("safety.c", "    if (command->action >= BP_CAP_SPEED) {", "    if (true) {"),
    ("safety.c", "command->valid_for_ms > BP_LIMITS", "command->valid_for_ms >= BP_LIMITS"),
    (
        "safety.c",
        "return safety->healthy_heartbeats >= BP_LIMITS",
        "return safety->healthy_heartbeats + 1 >= BP_LIMITS",
    ),
    (
        "safety.c",
        "vehicle->speed_valid && vehicle->speed_cmps <=",
        "vehicle->speed_valid && vehicle->speed_cmps <",
    ),
    ("safety.c", "return vehicle->speed_valid && vehicle", "return vehicle"),
    ("safety.c", "safety->latch = default_stop(BP_COMFORT_STOP);", "safety->latch = no_demand();"),
    ("safety.c", "    safety->healthy_heartbeats = 0;\n    safety->loop", "    safety->loop"),
    ("safety.c", "    safety->loop_sequence_known = false;\n", ""),
    (
        "safety.c",
        "now_ms - safety->command_ms >= safety->command_valid_for_ms",
        "now_ms - safety->command_ms > safety->command_valid_for_ms",
    ),
    ("safety.c", "        safety->command_live = false;\n", ""),
    (
        "safety.c",
        "now_ms - safety->heartbeat_ms >= BP_LIMITS",
        "now_ms - safety->heartbeat_ms > BP_LIMITS",
    ),
    ("safety.c", "        safety->heartbeat_live = false;\n", ""),
    ("safety.c", "if (command->release && command->action <", "if (command->action <"),
    (
        "safety.c",
        "command->action < safety->latch.action",
        "command->action <= safety->latch.action",
    ),
    ("safety.c", "if (!bp_safety_standstill(vehicle)) {", "if (false) {"),
    ("safety.c", "} else if (!heartbeats_are_healthy(safety)) {", "} else if (false) {"),
    ("safety.c", "    latch_stop(safety, demand);\n    safety->commanded", "    safety->commanded"),
    ("safety.c", "    safety->command_ms = now_ms;\n", ""),
    (
        "safety.c",
        "safety->command_valid_for_ms = at_most(command->valid_for_ms, "
        "BP_LIMITS.command_valid_max_ms);",
        "safety->command_valid_for_ms = command->valid_for_ms;",
    ),
    (
        "safety.c",
        "safety->loop_sequence_known && heartbeat->loop_sequence == safety->loop_sequence",
        "false",
    ),
    ("safety.c", "    safety->heartbeat_ms = now_ms;\n", ""),
    ("safety.c", "    if (!heartbeat->healthy) {\n", "    if (false) {\n"),
    (
        "safety.c",
        "if (safety->command_live && heartbeats_are_healthy(safety)) {",
        "if (safety->command_live && safety->heartbeat_live) {",
    ),
    (
        "safety.c",
        "if (safety->command_live && heartbeats_are_healthy(safety)) {",
        "if (heartbeats_are_healthy(safety)) {",
    ),
    ("safety.c", "slow_since_ms >= BP_LIMITS", "slow_since_ms > BP_LIMITS"),
    ("safety.c", "!safety->command_live || !safety", "!safety->command_live && !safety"),
    ("safety.c", "        safety->slow_since_ms = now_ms;\n", ""),
    ("safety.c", "    if (!vehicle->speed_valid) {", "    if (false) {"),
    ("safety.c", "graver(safety->commanded, safety->latch)", "safety->latch"),
    ("safety.c", "graver(safety->commanded, safety->latch)", "safety->commanded"),
    ("mcu.c", "step != 0u && step < 0x8000u", "step < 0x8000u"),
    ("mcu.c", "step != 0u && step < 0x8000u", "step != 0u"),
    ("mcu.c", "step < 0x8000u", "step <= 0x8000u"),
    ("mcu.c", "size <= tx->capacity - tx->used", "size < tx->capacity - tx->used"),
    ("mcu.c", "return mcu->greeted && mcu->mismatch == 0u;", "return mcu->greeted;"),
    ("mcu.c", "    if (!session_is_open(mcu)) {", "    if (false) {"),
    ("mcu.c", "    if (!command_is_in_contract(raw)) {", "    if (false) {"),
    ("mcu.c", "    if (session_is_open(mcu)) {", "    if (true) {"),
    ("mcu.c", "if (same_session && !is_fresh(mcu, frame)) {", "if (false) {"),
    ("mcu.c", "    if (!same_session) {", "    if (true) {"),
    ("mcu.c", "    if (!same_session) {", "    if (false) {"),
    ("mcu.c", "    mcu->mismatch = 0;\n", ""),
    ("mcu.c", "hello.version != BP_PROTOCOL_VERSION || ", ""),
    ("mcu.c", " || hello.contract_hash != BP_CONTRACT_HASH", ""),
    ("mcu.c", "if (hello.limits_hash != BP_LIMITS_HASH) {", "if (false) {"),
    ("mcu.c", "    if (!is_fresh(mcu, frame)) {", "    if (false) {"),
    ("mcu.c", "raw.canary != BRAKEPOINT_HEARTBEAT_CANARY_FAILED_CHOICE &&", ""),
    ("mcu.c", "camera_age_ms <= BP_LIMITS", "camera_age_ms < BP_LIMITS"),
    ("mcu.c", "        frame->length == BRAKEPOINT_SAFETY_COMMAND_LENGTH", "        true"),
    ("mcu.c", "           frame->length == BRAKEPOINT_HEARTBEAT_LENGTH &&", "           "),
    ("mcu.c", "        frame->length == BRAKEPOINT_HOST_HELLO_LENGTH &&", "       "),
    ("mcu.c", "    bp_safety_expire(&mcu->safety, now_ms);\n", ""),
    ("mcu.c", "refused_ms >= BP_LIMITS", "refused_ms > BP_LIMITS"),
    ("mcu.c", "status_ms >= BP_LIMITS", "status_ms > BP_LIMITS"),
    ("mcu.c", "greeting_ms >= BP_LIMITS", "greeting_ms > BP_LIMITS"),
    ("mcu.c", "mcu->outputs.demand.action != action_before ||", ""),
    ("mcu.c", "return now_ms - mcu->boot_ms;", "return now_ms;"),
    ("frame.c", "raw[body + i] != (uint8_t)(crc >> (8u * i))", "false"),
    ("frame.c", "size != BP_HEADER_SIZE + raw[1] + BP_CRC_SIZE", "false"),
    ("frame.c", "if (overflowed || ", "if ("),
    ("frame.c", "if (size == 0u) {", "if (false) {"),
    ("frame.c", "    deframer->overflowed = false;\n", ""),
]
FLAGS = ["-std=c11", "-O0", *(f"-I{FIRMWARE / part}" for part in ("core", "vehicle", "generated"))]
CORE = [FIRMWARE / "core" / name for name in ("frame.c", "safety.c", "mcu.c")]


def _compile(*arguments: str | Path) -> None:
    command = ["cc", *FLAGS, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def objects(build_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unmutated objects, compiled once."""
    folder = tmp_path_factory.mktemp("mutants")
    rest = ["generated/brakepoint.c", "vehicle/vehicle.c", "hal_probe/main.c"]
    for source in [*CORE, *(FIRMWARE / name for name in rest)]:
        _compile("-c", source, "-o", folder / f"{source.stem}.o")
    return folder


@pytest.mark.parametrize("number", range(len(MUTANTS)))
def test_mutant_is_killed(number: int, objects: Path, tmp_path: Path) -> None:
    file, original, mutated = MUTANTS[number]
    text = (FIRMWARE / "core" / file).read_text()
    assert text.count(original) == 1, "the mutant no longer fits the source"
    source = tmp_path / file
    source.write_text(text.replace(original, mutated))
    _compile("-c", source, "-o", tmp_path / "mutant.o")
    rest = [path for path in objects.glob("*.o") if path.stem != source.stem]
    _compile(tmp_path / "mutant.o", *rest, "-o", tmp_path / "probe")
    assert any(not _survives(tmp_path / "probe", name) for name in CASES), "nobody noticed"


def _survives(program: Path, name: str) -> bool:
    try:
        with Probe(program) as probe:
            CASES[name](Mcu(probe))
    except (AssertionError, ValueError):
        return False
    return True
