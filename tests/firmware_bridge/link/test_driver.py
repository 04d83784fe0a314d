"""Driver, pty, firmware process and vehicle together, as the decision loop uses them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from checkout import samples
from mcu_probe import BEAT, COMMAND
from patience import PATIENCE_S

from firmware_bridge.emulation.build import FIRMWARE
from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.errors import DeviceFault
from firmware_bridge.link.driver import LinkDriver
from firmware_bridge.link.facts import LinkFacts
from firmware_bridge.link.ports import Port, PortLost, memory_pair
from firmware_bridge.link.states import LinkState
from firmware_bridge.protocol.codec import contract_hash
from firmware_bridge.protocol.messages import AckResult, Action, Perception, SafetyCommand

RELEASE = replace(COMMAND, release=True, valid_for_ms=300)


@dataclass
class Loop:
    """A decision loop of 50 Hz that says the same thing until the facts are as wanted."""

    driver: LinkDriver
    turn: int = 0
    facts: list[LinkFacts] = field(default_factory=list)

    def until(
        self,
        wanted: Callable[[LinkFacts], bool],
        command: SafetyCommand | None = RELEASE,
        *,
        perception: Perception = Perception.KNOWN,
        timeout_s: float = 15.0,
    ) -> LinkFacts:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            facts = self.driver.facts(time.monotonic_ns())
            if wanted(facts):
                return facts
            if command is not None:
                self.turn += 1
                beat = replace(BEAT, loop_sequence=self.turn, perception=perception)
                self.driver.send(command, beat)
            time.sleep(0.02)
        raise AssertionError(f"it did not come to that: {facts}")


def effective(action: Action) -> Callable[[LinkFacts], bool]:
    return lambda facts: facts.effective_action is action


def test_from_boot_to_a_cap_to_a_stop_and_a_release(firmware: HostFirmware) -> None:
    with LinkDriver(firmware.port) as driver:
        facts = driver.wait_established(10)
        assert facts.effective_action is Action.COMFORT_STOP
        loop = Loop(driver)
        loop.until(effective(Action.NONE))
        firmware.control("speed 9.0")
        loop.until(lambda f: f.vehicle_speed_mps == 9.0)
        cap = replace(COMMAND, action=Action.CAP_SPEED, speed_ceiling_mps=8.0)
        facts = loop.until(effective(Action.CAP_SPEED), cap)
        assert facts.applied_ceiling_mps == 8.0
        facts = loop.until(lambda f: (f.vehicle_speed_mps or 99) < 8.1, cap)
        assert facts.last_ack is not None
        assert facts.last_ack.result is AckResult.ACCEPTED
        assert facts.last_ack.effective_action is Action.CAP_SPEED

        stop = replace(COMMAND, action=Action.EMERGENCY_STOP, deceleration_limit_mps2=8.0)
        facts = loop.until(lambda f: bool(f.standstill), stop)
        assert facts.effective_action is Action.EMERGENCY_STOP
        assert facts.stop_latched
        firmware.control("operator 1")
        facts = loop.until(lambda f: bool(f.operator_request), stop)
        facts = loop.until(effective(Action.NONE))
        assert facts.vehicle_speed_mps == 0.0
        # The driver asks again, so it moves off, gently.
        firmware.control("cruise 5.0")
        loop.until(lambda f: (f.vehicle_speed_mps or 0) > 0.3)

        counts = driver.facts(time.monotonic_ns()).counts
        assert counts.commands_sent == counts.acknowledged + counts.unacknowledged
        assert counts.crc_errors == counts.counter_errors == counts.contract_errors == 0
        story = [e.values["action"] for e in driver.events() if e.kind == "effective"]
        order = [Action.COMFORT_STOP, Action.NONE, Action.CAP_SPEED, Action.EMERGENCY_STOP]
        assert [a for i, a in enumerate(story) if a != story[i - 1]] == [*order, Action.NONE]
        trips = [e.values["round_trip_ns"] for e in driver.events() if e.kind == "ack"]
        assert all(isinstance(trip, int) and trip > 0 for trip in trips)
    assert driver.facts(time.monotonic_ns()).state is LinkState.DISCONNECTED
    assert driver.send(COMMAND, BEAT) is None


def test_sent_names_the_counter_that_is_acknowledged(firmware: HostFirmware) -> None:
    with LinkDriver(firmware.port) as driver:
        driver.wait_established(10)
        sent = driver.send(COMMAND, BEAT)
        assert sent is not None
        assert sent.sent_ns <= sent.written_ns
        facts = Loop(driver).until(lambda f: f.last_ack is not None, None)
        assert facts.last_ack is not None
        assert facts.last_ack.counter == sent.counter
        assert facts.last_ack.sent_ns == sent.sent_ns
        assert facts.last_ack.acknowledged_ns >= sent.sent_ns


def test_blind_heartbeats_release_nothing(firmware: HostFirmware) -> None:
    with LinkDriver(firmware.port) as driver:
        driver.wait_established(10)
        loop = Loop(driver)
        loop.until(lambda f: f.counts.acknowledged > 10, perception=Perception.UNKNOWN)
        facts = driver.facts(time.monotonic_ns())
        assert facts.effective_action is Action.COMFORT_STOP
        assert facts.last_ack is not None
        assert facts.last_ack.result is AckResult.RELEASE_REFUSED_UNHEALTHY


DAEMON = """
import sys, time
from dataclasses import replace
sys.path.insert(0, sys.argv[2])
from mcu_probe import BEAT, COMMAND
from firmware_bridge.link.driver import LinkDriver
command = replace(COMMAND, release=True, valid_for_ms=300)
with LinkDriver(sys.argv[1]) as driver:
    driver.wait_established(10)
    for turn in range(100_000):
        driver.send(command, replace(BEAT, loop_sequence=turn))
        time.sleep(0.02)
"""


def test_a_killed_daemon_is_slowed_and_stopped_by_the_microcontroller_alone(
    firmware: HostFirmware, root: Path
) -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, firmware.port, str(samples("firmware_bridge"))], cwd=root
    )
    try:
        released = firmware.wait_for(lambda r: r.action is Action.NONE, timeout_s=20)
        firmware.control("speed 1.0")
        firmware.wait_for(lambda r: r.speed_mps == 1.0, timeout_s=5)
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    firmware.control("report")
    killed = firmware.wait_for(
        lambda r: r.tick_ms > released.tick_ms and r.speed_mps == 1.0, timeout_s=5
    )
    stopped = firmware.wait_for(lambda r: r.standstill and r.tick_ms > killed.tick_ms, timeout_s=20)
    later = [r for r in firmware.records() if r.tick_ms > released.tick_ms]
    slow = next(r for r in later if r.action is Action.SLOW_DOWN)
    latched = next(r for r in later if r.action is Action.COMFORT_STOP)
    assert {"command_timeout", "heartbeat_timeout"} & set(slow.faults)
    # The microcontroller's own tick. Its loop turns every 5 ms, on a loaded machine now and then
    # late; the second counts from when the timer ran out, not from when the loop saw it.
    assert 900 < latched.tick_ms - slow.tick_ms < 1200
    assert latched.latched
    assert stopped.action is Action.COMFORT_STOP
    assert firmware.running


def test_a_vanished_port_is_a_state_and_the_link_comes_back(
    build_folder: Path, tmp_path: Path
) -> None:
    link = tmp_path / "mcu"
    with HostFirmware(build_folder=build_folder) as first:
        link.symlink_to(first.port)
        driver = LinkDriver(str(link))
        driver.start()
        driver.wait_established(10)
        loop = Loop(driver)
        loop.until(effective(Action.NONE))
        first.kill()
        facts = loop.until(lambda f: f.state is LinkState.DISCONNECTED)
    assert facts.effective_action is None
    assert facts.vehicle_speed_mps is None
    assert driver.send(RELEASE, BEAT) is None
    with HostFirmware(build_folder=build_folder) as second:
        link.unlink()
        link.symlink_to(second.port)
        facts = loop.until(effective(Action.NONE))
        assert facts.state is LinkState.ESTABLISHED
        assert facts.counts.reconnects >= 1
        assert facts.first_fault is not None
        states = [e.values["state"] for e in driver.events() if e.kind == "state"]
        assert states[:3] == ["GREETING", "ESTABLISHED", "DISCONNECTED"]
        driver.close()


def test_a_rebooting_and_a_frozen_microcontroller(firmware: HostFirmware) -> None:
    with LinkDriver(firmware.port) as driver:
        driver.wait_established(10)
        loop = Loop(driver)
        loop.until(effective(Action.NONE))
        firmware.control("reboot")
        loop.until(lambda f: f.counts.reboots == 1)
        loop.until(effective(Action.NONE))
        firmware.control("freeze")
        facts = loop.until(lambda f: f.state is LinkState.GREETING)
        assert facts.effective_action is None
        firmware.control("thaw")
        facts = loop.until(lambda f: f.state is LinkState.ESTABLISHED)
        loop.until(effective(Action.NONE))


def test_a_failing_speed_sensor_stops_and_is_named(firmware: HostFirmware) -> None:
    with LinkDriver(firmware.port) as driver:
        driver.wait_established(10)
        loop = Loop(driver)
        loop.until(effective(Action.NONE))
        firmware.control("sensor 0")
        facts = loop.until(effective(Action.COMFORT_STOP))
        assert "speed_sensor" in facts.faults
        loop.until(lambda f: f.vehicle_speed_mps is None and f.standstill is False)


def test_firmware_of_another_contract_is_refused_with_both_hashes(
    build_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(FIRMWARE, tmp_path / "firmware")
    header = tmp_path / "firmware" / "generated" / "contract.h"
    ours = f"{contract_hash():06x}"
    header.write_text(header.read_text().replace(f"0x{ours}u", "0x0badc0u"))
    subprocess.run(
        ["make", "-f", tmp_path / "firmware" / "Makefile", f"BUILD={tmp_path}", "host"],
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    with subprocess.Popen(
        [tmp_path / "brakepoint-mcu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as foreign:
        assert foreign.stdout is not None
        with LinkDriver(foreign.stdout.readline().strip()) as driver:
            with pytest.raises(DeviceFault, match="was refused") as refused:
                driver.wait_established(10)
            assert driver.send(COMMAND, BEAT) is None
            assert driver.facts(time.monotonic_ns()).state is LinkState.REFUSED
        foreign.communicate("")
    assert "0badc0" in refused.value.found
    assert ours in refused.value.found
    assert "flash" in refused.value.remedy


def test_a_port_that_cannot_be_opened_at_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceFault, match="does not exist"):
        LinkDriver(str(tmp_path / "ttyACM0")).start()


def test_a_port_with_nobody_behind_it_is_refused_after_waiting() -> None:
    near, _far = memory_pair(read_timeout_ms=10)
    with (
        LinkDriver(lambda: near) as driver,
        pytest.raises(DeviceFault, match="no microcontroller answered"),
    ):
        driver.wait_established(0.3)


def test_a_pulled_plug_is_retried_until_it_is_back() -> None:
    ends: list[Port] = []
    tries = []

    def opener() -> Port:
        tries.append(time.monotonic())
        if len(tries) in (2, 3):
            raise DeviceFault("no port", expected="a port", found="none", remedy="plug it in")
        near, far = memory_pair(read_timeout_ms=10)
        ends.append(far)
        return near

    with LinkDriver(opener) as driver:
        loop = Loop(driver)
        ends[0].close()
        loop.until(lambda f: f.state is LinkState.DISCONNECTED)
        facts = loop.until(lambda f: f.counts.reconnects == 1)
        assert facts.state is LinkState.GREETING
        assert facts.first_fault is not None
        assert "unplugged" in facts.first_fault
    assert len(tries) == 4
    assert tries[3] - tries[2] > tries[1] - tries[0]
    with pytest.raises(PortLost):
        ends[1].write(b"x")
