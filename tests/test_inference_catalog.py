"""The alarms as data: what is shipped is valid, what is wrong is named, layers lie over one another."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

import wardwave
from inference import beds, catalog_table
from inference.alarm_spec import AlarmSetting, Bounded, Layer, Values
from inference.catalog import FILE, Catalogue, load_catalogue
from inference.errors import BadSetting
from inference.site import Site, load_site
from inference.types import Priority
from ingest.types import SignalKind

DOC = Path(__file__).resolve().parent.parent / "docs" / "alarms.md"
ALARM = """
[[alarm]]
kind = "fast"
signal = "ecg"
priority = "medium"
text = "HR {value} > {limit}"
condition = "heart rate above the limit"
limit = { value = 120.0, least = 40.0, most = 300.0, unit = "/min" }
"""
PROFILES = "\n[profiles.adult]\n"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def broken(tmp_path: Path, text: str) -> str:
    """What is said of a catalogue."""
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(BadSetting) as caught:
        load_catalogue(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def site_of(tmp_path: Path, text: str) -> Site:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return load_site(path, load_catalogue())


def test_what_is_shipped_has_every_alarm_of_the_specification(catalogue: Catalogue) -> None:
    assert {"asystole", "vf", "vt", "extreme_tachycardia", "extreme_bradycardia", "hr_high", "hr_low",
            "pause", "pvc_run", "couplet", "bigeminy", "pvc_rate", "frequent_pvcs", "af", "af_end",
            "lead_off", "saturated", "noise"} <= {one.kind for one in catalogue.of_signal("ecg")}  # fmt: skip
    assert {one.key for one in catalogue.alarms} >= {
        "eeg/seizure", "lung_sound/breath_silence", "lung_sound/new_wheeze", "lung_sound/crackles",
        "heart_sound/murmur", "any/no_data", "any/sensor_silent", "any/clock_drift", "any/unknown_rate",
        "any/model_unavailable",
    }  # fmt: skip
    assert set(catalogue.profiles) == {"adult", "paediatric", "neonatal"}


def test_what_kills_latches_and_cannot_be_switched_off(catalogue: Catalogue) -> None:
    high = [one for one in catalogue.alarms if one.priority is Priority.HIGH]
    assert all(one.latching and one.escalates_after_s == 60.0 for one in high)
    assert {one.kind for one in high if one.fixed} == {"asystole", "vf", "vt"}
    assert not any(one.latching or one.escalates_after_s for one in catalogue.alarms if one not in high)


def test_poor_quality_never_silences_asystole_nor_fibrillation(catalogue: Catalogue) -> None:
    assert {one.kind for one in catalogue.of_signal("ecg") if one.needs == "lead"} == {"asystole", "vf"}


def test_limits_of_the_specification_are_the_defaults(catalogue: Catalogue) -> None:
    found = {key: one.limit for key, one in catalogue.settings([]).items()}
    assert (found["ecg/asystole"], found["ecg/vt"]) == (4.0, 100.0)
    assert (found["ecg/extreme_tachycardia"], found["ecg/extreme_bradycardia"]) == (140.0, 40.0)


def test_a_child_s_limits_lie_between_those_of_a_newborn_and_an_adult(catalogue: Catalogue) -> None:
    of = {
        name: catalogue.settings([("profile", catalogue.profile(name))])
        for name in ("adult", "paediatric", "neonatal")
    }
    for key in ("ecg/hr_high", "ecg/hr_low", "ecg/extreme_tachycardia", "ecg/extreme_bradycardia"):
        adult, child, newborn = (of[name][key].limit for name in ("adult", "paediatric", "neonatal"))
        assert adult < child < newborn, key
    for settings in of.values():
        assert settings["ecg/hr_low"].limit < settings["ecg/hr_high"].limit
        assert settings["ecg/extreme_bradycardia"].limit < settings["ecg/hr_low"].limit
        assert settings["ecg/hr_high"].limit < settings["ecg/extreme_tachycardia"].limit


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[alarm", "no valid TOML"),
        (PROFILES, "alarm: Field required"),
        (ALARM.replace("medium", "loud") + PROFILES, r"alarm\.0\.priority='loud': Input should be 'high'"),
        (ALARM.replace("120.0", "400.0") + PROFILES, r"value=400 is not between least=40 and most=300"),
        (ALARM.replace("fast", "Fast!") + PROFILES, r"alarm\.0\.kind='Fast!'"),
        (ALARM + 'on_delay_s = -1.0\n' + PROFILES, r"alarm\.0\.on_delay_s=-1\.0: .*greater than or equal"),
        (ALARM + 'colour = "red"\n' + PROFILES, r"alarm\.0\.colour='red': Extra inputs"),
        (ALARM.replace("{value}", "{speed}") + PROFILES, r"alarm\.0\.text='HR {speed}.*only {value}, "),
        (ALARM + 'texts = { ecg = "HR {speed}" }\n' + PROFILES, r"alarm\.0\.texts.*only {value}, "),
        (ALARM + 'texts = { ekg = "HR" }\n' + PROFILES, r"alarm\.0\.texts"),
        (ALARM + ALARM + PROFILES, "alarm ecg/fast stands twice"),
        (ALARM + 'yields_to = ["vf"]\n' + PROFILES, "ecg/fast: yields_to names 'vf'"),
        (ALARM + "[profiles.neonatal]\n", "profiles: 'adult' is missing"),
        (ALARM + PROFILES + '"ecg/fast" = { limit = 20.0 }\n',
         r"profiles\.adult: ecg/fast: limit=20 /min: must be between 40 and 300"),
        (ALARM + PROFILES + '"ecg/slow" = { limit = 20.0 }\n', "'ecg/slow' is not known; there are ecg/fast"),
    ],
)  # fmt: skip
def test_a_broken_catalogue_is_named_by_field_and_value(tmp_path: Path, text: str, said: str) -> None:
    assert re.search(said, broken(tmp_path, text), re.DOTALL)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"absent\.toml: cannot be read"):
        load_site(tmp_path / "absent.toml", load_catalogue())


def limits(catalogue: Catalogue, layers: Mapping[str, Layer]) -> AlarmSetting:
    return catalogue.settings(list(layers.items()))["ecg/hr_high"]


def test_later_layers_lie_over_earlier_ones(catalogue: Catalogue) -> None:
    layers: dict[str, Layer] = {}
    setting = limits(catalogue, layers)
    assert (setting.limit, setting.source) == (120.0, "default")
    layers["profile"] = catalogue.profile("paediatric")
    assert (limits(catalogue, layers).limit, limits(catalogue, layers).source) == (160.0, "profile")
    for number, name in enumerate(("site", "ward", "bed")):
        layers[name] = {"ecg/hr_high": Values(limit=170.0 + number)}
        setting = limits(catalogue, layers)
        assert (setting.limit, setting.source) == (170.0 + number, name)
    # What a layer leaves open stays as the one below says.
    layers["bed"] = {"ecg/hr_high": Values(on_delay_s=8.0)}
    setting = limits(catalogue, layers)
    assert (setting.limit, setting.on_delay_s, setting.source) == (171.0, 8.0, "bed")


def test_all_alarms_of_a_signal_are_switched_off_but_fixed_and_technical_ones(catalogue: Catalogue) -> None:
    found = catalogue.settings([("ward", {"ecg/*": Values(enabled=False)})])
    still_on = {key for key, one in found.items() if one.enabled and key.startswith("ecg/")}
    technical = {key for key in still_on if found[key].priority is Priority.TECHNICAL}
    assert {"ecg/lead_off", "ecg/noise", "ecg/no_data"} <= technical
    assert still_on - technical == {"ecg/asystole", "ecg/vf", "ecg/vt"}
    assert all(one.enabled for key, one in found.items() if not key.startswith("ecg/"))
    # Within a layer what names the alarm wins, wherever it stands.
    layer = {"ecg/hr_high": Values(enabled=True), "ecg/*": Values(enabled=False)}
    assert limits(catalogue, {"ward": layer}).enabled


def test_an_alarm_of_every_signal_is_set_for_all_or_for_one(catalogue: Catalogue) -> None:
    layer = {"any/sensor_silent": Values(limit=60.0), "lung_sound/sensor_silent": Values(limit=120.0)}
    for key, values in layer.items():
        catalogue.check(key, values, "site")
    found = catalogue.settings([("site", layer)])
    assert {kind: found[f"{kind}/sensor_silent"].limit for kind in SignalKind} == {
        kind: 120.0 if kind is SignalKind.LUNG_SOUND else 60.0 for kind in SignalKind
    }


@pytest.mark.parametrize(
    ("key", "values", "said"),
    [
        ("ecg/asystole", Values(enabled=False), "here: ecg/asystole: enabled=false: .* be switched off"),
        ("ecg/vf", Values(priority=Priority.LOW), "priority=low: this alarm stays high"),
        ("ecg/asystole", Values(limit=20.0), "limit=20 s: must be between 2.5 and 8"),
        ("ecg/vf", Values(limit=2.0), "limit=2: this alarm has none"),
        ("ecg/vt", Values(beats=30), "beats=30 beats: must be between 3 and 15"),
        ("ecg/vt", Values(beats=4.5), "beats=4.5: a whole number of beats"),
        ("ecg/vf", Values(on_delay_s=6.0), "on_delay_s=6: at most 5 for this alarm"),
        ("ecg/hr_high", Values(priority=Priority.HIGH, on_delay_s=60.0), "at most 5 for .* priority=high"),
        ("ecg/hr_high", Values(priority=Priority.TECHNICAL), "technical and physiological alarms stay apart"),
        ("ecg/no_data", Values(priority=Priority.HIGH), "technical and physiological alarms stay apart"),
        ("ecg/hr_hihg", Values(limit=2.0), "alarm 'ecg/hr_hihg' is not known"),
        ("eeg/hr_high", Values(limit=130.0), "alarm 'eeg/hr_high' is not known; there are ecg/hr_high"),
        ("ecg/*", Values(limit=130.0), "limits and beats are set alarm by alarm"),
        ("egg/*", Values(enabled=False), r"here: egg/\*: there are ecg/\*, eeg/\*"),
        ("any/*", Values(enabled=False), r"any/\*: there are ecg/\*"),
        ("*", Values(enabled=False), r"\*: there are ecg/\*"),
    ],
)  # fmt: skip
def test_what_an_alarm_cannot_take_is_refused(
    catalogue: Catalogue, key: str, values: Values, said: str
) -> None:
    with pytest.raises(BadSetting, match=said):
        catalogue.check(key, values, "here")


def test_a_long_delay_and_a_high_priority_never_meet(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    slow, grave = {"ecg/hr_high": Values(on_delay_s=60.0)}, {"ecg/hr_high": Values(priority=Priority.HIGH)}
    for layer in (slow, grave):
        catalogue.check("ecg/hr_high", layer["ecg/hr_high"], "values")
    assert catalogue.settings([("ward", slow)])["ecg/hr_high"].on_delay_s == 60.0
    for layers in ([("ward", slow), ("bed", grave)], [("ward", grave), ("bed", slow)]):
        setting = catalogue.settings(layers)["ecg/hr_high"]
        assert (setting.priority, setting.on_delay_s) == (Priority.HIGH, 5.0)
        assert "ecg/hr_high: on_delay_s=60 of one layer is too long for priority=high" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", math.nan, -math.inf])
@pytest.mark.parametrize("name", ["limit", "beats", "on_delay_s", "off_delay_s"])
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Values.model_validate({name: value})
    with pytest.raises(ValidationError, match="finite"):
        Bounded.model_validate({"value": 1.0, "least": 0.0, "most": value, "unit": "s"})


def test_a_limit_that_is_turned_all_day_fills_no_memory(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beds, "MOST_RESOLVED", 10)
    known = beds.Beds(catalogue, Site())
    for n in range(25):
        known.state("bed-1").settings = {"ecg/hr_high": {"limit": 100.0 + n}}
        assert known.settings("bed-1")["ecg/hr_high"].limit == 100.0 + n
        assert known.settings("bed-2")["ecg/hr_high"].limit == 120.0
    assert len(known._resolved) <= 10


def test_an_unknown_profile_is_refused_with_those_there_are(catalogue: Catalogue) -> None:
    with pytest.raises(BadSetting, match="profile='elderly': there are adult, paediatric, neonatal"):
        catalogue.profile("elderly")


@pytest.mark.parametrize(
    ("key", "signal", "value", "text"),
    [
        ("ecg/hr_high", "ecg", 134.2, "** HR 134 > 120"),
        ("ecg/asystole", "ecg", 5.3, "*** ASYSTOLE 5.3 s > 4 s"),
        ("ecg/pause", "ecg", 2.75, "** PAUSE 2.8 s > 2.5 s"),
        ("ecg/hr_high", "ecg", 120.4, "** HR 120.4 > 120"),
        ("ecg/asystole", "ecg", 4.0, "*** ASYSTOLE 4.0 s > 4 s"),
        ("ecg/pvc_run", "ecg", 3.0, "** PVC RUN 3 BEATS"),
        ("ecg/vf", "ecg", None, "*** VENT FIB/FLUTTER"),
        ("ecg/af", "ecg", None, "* ATRIAL FIB BEGAN"),
        ("ecg/lead_off", "ecg", None, "!!! ECG LEADS OFF: arrhythmia alarms suspended"),
        ("eeg/no_data", "eeg", 3.0, "!!! EEG NO DATA: its alarms suspended"),
        ("lung_sound/sensor_silent", "lung_sound", 31.0, "!! LUNG SOUND SENSOR SILENT: its alarms suspended"),
    ],
)
def test_messages_read_as_staff_know_them(
    catalogue: Catalogue, key: str, signal: str, value: float | None, text: str
) -> None:
    assert catalogue.settings([])[key].message(signal, value) == text


def test_a_message_names_the_bed_s_own_limit_and_priority(catalogue: Catalogue) -> None:
    layer = {"ecg/hr_high": Values(limit=130.0, priority=Priority.HIGH)}
    assert limits(catalogue, {"bed": layer}).message("ecg", 134.0) == "*** HR 134 > 130"


def test_no_message_lacks_a_value_or_limit_that_it_speaks_of(catalogue: Catalogue) -> None:
    for setting in catalogue.settings([]).values():
        assert ("{limit}" in setting.spec.text) <= (setting.limit is not None), setting.spec.key


def test_a_site_s_file_sets_wards_by_the_names_of_their_beds(tmp_path: Path) -> None:
    site = site_of(
        tmp_path,
        """
        [alarms]
        "ecg/hr_high" = { limit = 130 }
        [wards.nicu]
        beds = ["nicu-*"]
        profile = "neonatal"
        alarms = { "ecg/hr_low" = { limit = 90 } }
        [wards.all]
        beds = ["*"]
        """,
    )
    assert [site.ward_of(bed) for bed in ("nicu-1", "icu-1")] == ["nicu", "all"]
    assert site.alarms["ecg/hr_high"].limit == 130.0
    assert site.wards["nicu"].alarms["ecg/hr_low"].limit == 90.0
    assert Site().ward_of("icu-1") == "ward"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[alarms]\n"ecg/hr_high" = { limit = 1000 }', r"site\.toml: alarms: ecg/hr_high: limit=1000 /min"),
        (
            '[wards.a.alarms]\n"ecg/vf" = { enabled = false }',
            r"site\.toml: wards\.a\.alarms: ecg/vf: enabled",
        ),
        ('[wards.a]\nprofile = "old"', r"site\.toml: wards\.a: profile='old': there are adult"),
        ('[wards.a]\nbed = ["x"]', r"site\.toml: wards\.a\.bed: Extra inputs"),
        ('[alarms]\n"ecg/hr_high" = { limit = "many" }', r"alarms\.ecg/hr_high\.limit='many'"),
        ("[alarms", "no valid TOML"),
    ],
)
def test_a_broken_site_s_file_is_named_by_field_and_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        site_of(tmp_path, text)


def test_a_site_s_file_is_checked_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.toml"
    path.write_text('[wards.nicu]\nbeds = ["nicu-*"]\nprofile = "neonatal"\n')
    assert wardwave.main(["alarms", "check", str(path)]) == 0
    assert "nicu: beds nicu-*, profile neonatal" in capsys.readouterr().out
    path.write_text('[wards.nicu]\nprofile = "newborn"\n')
    assert wardwave.main(["alarms", "check", str(path)]) == 2
    assert "profile='newborn': there are adult, paediatric, neonatal" in capsys.readouterr().err


def test_the_table_in_the_document_is_that_of_the_catalogue(catalogue: Catalogue) -> None:
    assert catalog_table.markdown(catalogue) in DOC.read_text(encoding="utf-8"), (
        "run `wardwave alarms catalogue --markdown` and put what it prints into docs/alarms.md"
    )


def test_the_site_s_file_in_the_document_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    assert site_of(tmp_path, example).wards


def test_the_catalogue_is_listed_in_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["alarms", "catalogue"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(load_catalogue().alarms)
    assert lines[0].startswith("ecg/asystole")
    assert FILE.exists()
