"""This machine's own clock is set back or forward while alarms stand."""

import pytest

from inference.alarm_book import Pause
from inference.alarms import Change
from inference.bedside import Bedside
from inference.catalog import load_catalogue
from inference.types import Alarm, Priority
from ingest.types import NS_PER_S

T0 = 1_700_000_000 * NS_PER_S
HOUR_S = 3_600.0
BED = "bed-1"
ASYSTOLE = load_catalogue().settings([])["ecg/asystole"]
ESCALATES_S = float(ASYSTOLE.spec.escalates_after_s or 0.0)


class Machine:
    """A bed with an asystole that nobody acknowledges, on a machine whose clock can be set."""

    def __init__(self, predictor: object) -> None:
        self.now_s, self.set_s = 0.0, 0.0
        self.bedside = Bedside(predictor, lambda: self.now_ns)  # type: ignore[arg-type]
        self.bedside.tick(self.now_s)
        change = Change(0, ASYSTOLE, T0, T0, None, 0.0)
        self.bedside.book.apply(BED, "ecg", change, 0, self.now_ns)

    @property
    def now_ns(self) -> int:
        return T0 + round((self.now_s + self.set_s) * NS_PER_S)

    def wait(self, seconds: float) -> list[Alarm]:
        """Let time pass, looking twice a second; give what was said."""
        found: list[Alarm] = []
        for _ in range(round(seconds * 2)):
            self.now_s += 0.5
            found += self.bedside.tick(self.now_s)
        return found


@pytest.fixture
def machine(plain_predictor: object) -> Machine:
    return Machine(plain_predictor)


@pytest.mark.parametrize("set_s", [0.0, -HOUR_S])
def test_an_alarm_escalates_when_it_should_though_the_clock_is_set_back(
    machine: Machine, set_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert machine.wait(ESCALATES_S / 2) == []
    machine.set_s = set_s
    assert machine.wait(ESCALATES_S / 2 - 1) == []
    assert [one.escalated_ns for one in machine.wait(2)] == [T0 + round((ESCALATES_S + set_s) * NS_PER_S)]
    assert ("set back by 3600 s" in caplog.text) == (set_s < 0)


def test_an_alarm_escalates_while_a_backlog_is_worked_off_but_no_signal_is_missed(machine: Machine) -> None:
    machine.now_s += ESCALATES_S + 1
    assert [one.kind for one in machine.bedside.tick(machine.now_s, abreast=False)] == ["asystole"]


def test_a_clock_set_forward_escalates_at_once_rather_than_late(machine: Machine) -> None:
    machine.wait(1)
    machine.set_s = HOUR_S
    assert len(machine.wait(0.5)) == 1


def test_a_pause_of_the_sound_lasts_no_longer_for_a_clock_set_back(machine: Machine) -> None:
    book, state = machine.bedside.book, machine.bedside.beds.state(BED)
    state.pause = Pause(T0 + 60 * NS_PER_S, "nurse", Priority.HIGH)
    book.pause(BED, state.pause, machine.now_ns)
    machine.wait(10)
    machine.set_s = -HOUR_S
    said = machine.wait(0.5)
    until_ns = T0 + round((60 - HOUR_S) * NS_PER_S)
    assert [one.audio_paused_until_ns for one in said] == [until_ns]
    assert state.pause.until_ns == until_ns
    assert machine.bedside.beds.record(BED, machine.now_ns).audio_paused_by == "nurse"
    machine.wait(60)
    assert machine.bedside.beds.record(BED, machine.now_ns).audio_paused_by is None
