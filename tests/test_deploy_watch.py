"""What ``deploy/`` holds fits the code: metrics are those that processes tell, ACLs those that they need."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard import health as dashboard_health
from dashboard.feed import Feed
from dashboard.ward import Ward
from inference.health import families_of
from inference.judge import GROUP_SUFFIX as JUDGE_SUFFIX
from inference.recorder_session import GROUP_SUFFIX as RECORDER_SUFFIX
from inference.schedule_load import THINNED
from inference.schedule_reading import PAUSED
from inference.stats import ALARM_OUT, AWAY, KEYS_UNREAD, LACKING, Histogram
from inference.types import DataAge
from ingest.health import Health
from ingest.publisher import PublisherStats
from ingest.settings import KafkaSettings, Settings, Topics
from ingest.types import DEAD_LETTER_REASONS
from tests.test_inference_health import STATUS

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
RULES = {rule["alert"]: rule for group in ALERTS["groups"] for rule in group["rules"]}
GRAFANA: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
DOCUMENT = (ROOT / "docs" / "system.md").read_text(encoding="utf-8")


def told() -> dict[str, set[str]]:
    """Names of metrics that processes tell, each with its labels."""
    health = Health()
    health.note(lambda: families_of(STATUS, {ALARM_OUT: Histogram()}, [DataAge("b", "ecg", 1.0)]), taken=True)
    text = health.metrics()
    text += "\n".join(
        line for one in dashboard_health.figures(Feed(Settings(), Ward())) for line in one.lines()
    )
    found: dict[str, set[str]] = defaultdict(set)
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line).groups()
            found[name] |= {"instance", *re.findall(r'(\w+)="', labels or "")}
    found["wardwave_shown_age_seconds"] |= {"bed", "signal"}
    return found


def expressions() -> list[str]:
    panels = [target["expr"] for panel in GRAFANA["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in RULES.values()] + panels


@pytest.mark.parametrize("expression", expressions())
def test_a_rule_asks_for_what_processes_tell(expression: str) -> None:
    metrics = told()
    asked = re.findall(r"(wardwave_\w+)(?:\{([^}]*)\})?", expression)
    assert asked
    for name, selector in asked:
        assert name in metrics, name
        assert set(re.findall(r'(\w+)\s*(?:=~|!=|=)\s*"', selector)) <= metrics[name], expression
        for reason in re.findall(r'reason="(\w+)"', selector):
            assert reason in DEAD_LETTER_REASONS
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("name", sorted(RULES))
def test_an_alert_says_what_is_wrong_and_what_to_do(name: str) -> None:
    rule = RULES[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["action"]
    metrics = {label for asked in re.findall(r"wardwave_\w+", rule["expr"]) for label in told()[asked]}
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert used <= metrics


def test_what_promtool_would_expect_is_what_the_rules_say() -> None:
    cases = yaml.safe_load((DEPLOY / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    expected = [(one["alertname"], one["exp_alerts"]) for case in cases for one in case["alert_rule_test"]]
    for name, alerts in expected:
        for alert in alerts:
            for text in ("summary", "action"):
                words = re.split(r"\{\{.*?\}\}", RULES[name]["annotations"][text])
                pattern = r"[\w.]+".join(map(re.escape, words))
                assert re.fullmatch(pattern, alert["exp_annotations"][text]), name
            assert RULES[name]["labels"].items() <= alert["exp_labels"].items()
    rung = {name for name, alerts in expected if alerts}
    assert {"WardwaveDatabaseAway", "WardwaveNetworksLacking", "WardwaveDeviceKeysUnread"} < rung
    assert {"WardwaveGpuLost", "WardwaveNoDashboard", "WardwaveNoJudge"} < rung


def test_the_alert_of_a_silent_signal_stands_however_long_the_silence_lasts() -> None:
    bounds = re.findall(r"[<>=!]+ *[\d.]+", RULES["WardwaveOldData"]["expr"])
    assert bounds == ["> 30"]
    assert "`WardwaveOldData` stands from 30 s of silence on" in DOCUMENT


PIP = '#!/bin/sh\nexit "$PIP_SAYS"\n'
MAKES = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho "{}" >"$2"\nexit "$TOOL_SAYS"\n'
SBOM_STEP = r'(?<=step "SBOM \(CycloneDX\)"\n).*(?=step "done")'


@pytest.mark.parametrize(
    ("pip", "tool", "code", "said"), [(0, 0, 0, ""), (1, 0, 0, "offline"), (0, 3, 3, "failed")]
)
def test_only_a_tool_that_cannot_be_had_excuses_a_missing_sbom(
    tmp_path: Path, pip: int, tool: int, code: int, said: str
) -> None:
    there = tmp_path / "build" / "sbom-tools" / "bin"
    there.mkdir(parents=True)
    for name, text in (("python", "#!/bin/sh\n"), ("pip", PIP), ("cyclonedx-py", MAKES)):
        (there / name).write_text(text)
        (there / name).chmod(0o755)
    (tmp_path / "deploy").mkdir()
    script = shutil.copy(DEPLOY / "sbom.sh", tmp_path / "deploy" / "sbom.sh")
    assert os.access(script, os.X_OK)
    step = re.search(SBOM_STEP, (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.DOTALL)
    assert step is not None
    ran = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{step[0]}"],
        cwd=tmp_path,
        env={**os.environ, "PIP_SAYS": str(pip), "TOOL_SAYS": str(tool)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == code, ran.stderr
    assert said in ran.stdout + ran.stderr
    assert (tmp_path / "build" / "sbom.json").exists() == (pip == tool == 0)


def test_every_metric_is_in_the_document() -> None:
    for name in told():
        if not name.endswith(("_bucket", "_sum", "_count")) or name == "wardwave_count":
            assert f"`{name}`" in DOCUMENT, name


def counters() -> set[str]:
    """Names under which processes count, as the code has them."""
    found = {THINNED, PAUSED, LACKING, AWAY, KEYS_UNREAD, *(field.name for field in fields(PublisherStats))}
    for path in [*(ROOT / "inference").glob("*.py"), *(ROOT / "ingest").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        for asked in re.findall(r"\b_?counts\[([^\]]+)\] \+?= ", text):
            found |= set(re.findall(r'"(\w+)"', asked))
    return found


def test_every_counter_is_in_the_document_and_no_other() -> None:
    section = DOCUMENT.partition("## Counters")[2].partition("\n## ")[0]
    told = {name for line in section.splitlines() if line.startswith("| ") for name in line.split(" | ")[1:2]}
    assert {name for cell in told for name in re.findall(r"`(\w+)`", cell)} == counters()


def test_counters_that_rules_and_documents_ask_for_are_counted() -> None:
    asked = [
        name for one in expressions() for name in re.findall(r'wardwave_count\{[^}]*name=~?"([^"]+)"', one)
    ]
    assert asked
    assert {name for names_ in asked for name in names_.split("|")} <= counters()


def test_alerts_that_documents_name_are_there() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"`(Wardwave[A-Z]\w+)`", path.read_text(encoding="utf-8")):
            assert name in RULES, f"{path.name}: {name}"


def test_panels_have_a_place_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in GRAFANA["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in GRAFANA["panels"]}) == len(places)


def test_prometheus_asks_every_service_that_answers() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    asked = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = asked["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    answering = {
        name
        for name, service in compose.items()
        if name != "topics" and "WARDWAVE_HEALTH_AT" in service.get("environment", {})
    }
    assert set(found["names"]) == answering
    for name in answering:
        assert compose[name]["environment"]["WARDWAVE_HEALTH_AT"] == f"0.0.0.0:{found['port']}"
    assert asked["rule_files"] == ["alerts.yml"]


def acls() -> list[tuple[str, str, str, str]]:
    lines = (DEPLOY / "acls.txt").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split()) for line in lines if line and not line.startswith("#")]


def allowed(account: str, operation: str) -> set[str]:
    return {name for who, what, kind, name in acls() if (who, what, kind) == (account, operation, "topic")}


def names(*fields: str) -> set[str]:
    return {getattr(Topics(), field) for field in fields}


def test_a_device_may_write_what_it_measures_and_nothing_else() -> None:
    assert {(what, name) for who, what, _, name in acls() if who == "device"} == {
        ("Write", "biosignals.raw"),
        ("Write", "biosignals.device_alarms"),
    }


WRITES = {
    "worker": (
        "predictions",
        "vitals",
        "alarms",
        "state",
        "commands",
        "audit",
        "beds",
        "dead_letters",
        "status",
    ),
    "recorder": ("status",),
    "judge": ("verdicts", "dead_letters", "status"),
    "dashboard": ("commands",),
}
READS = {
    "worker": ("raw", "state", "commands"),
    "recorder": ("raw", "vitals", "alarms", "audit", "verdicts"),
    "judge": ("raw", "device_alarms"),
    "dashboard": ("raw", "predictions", "vitals", "alarms", "audit", "beds", "dead_letters", "status"),
}


@pytest.mark.parametrize("role", sorted(WRITES))
def test_a_role_may_do_what_it_does_and_nothing_else(role: str) -> None:
    assert allowed(role, "Write") == names(*WRITES[role])
    assert allowed(role, "Read") == names(*READS[role])
    group = KafkaSettings().group_id
    groups = {"worker": {group}, "recorder": {group + RECORDER_SUFFIX}, "judge": {group + JUDGE_SUFFIX}}
    assert {name for who, _, kind, name in acls() if (who, kind) == (role, "group")} == groups.get(
        role, set()
    )


def test_every_topic_has_somebody_who_may_write_and_read_it() -> None:
    roles = ["device", *WRITES]
    everything = set(Topics().model_dump().values())
    assert set().union(*(allowed(role, "Write") for role in roles)) == everything
    assert set().union(*(allowed(role, "Read") for role in roles)) == everything
    for trusted in ("alarms", "state", "vitals", "predictions", "audit", "beds"):
        writers = [role for role in roles if getattr(Topics(), trusted) in allowed(role, "Write")]
        assert writers == ["worker"], trusted


def test_the_script_tells_kafka_every_line(tmp_path: Path) -> None:
    fake, log = tmp_path / "kafka-acls.sh", tmp_path / "log"
    fake.write_text(f'#!/bin/sh\ncat >/dev/null\necho "$@" >>{log}\n')
    fake.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    command = [DEPLOY / "acls.sh", "--bootstrap-server", "kafka:9093"]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "PATH": path})
    said = log.read_text().splitlines()
    assert len(said) == len(acls())
    assert said[0] == (
        "--bootstrap-server kafka:9093 --add --force --allow-principal User:device --operation Write "
        "--topic biosignals.raw --resource-pattern-type literal"
    )
    assert any(line.endswith("--topic biosignals. --resource-pattern-type prefixed") for line in said)
    assert subprocess.run([DEPLOY / "acls.sh"], capture_output=True, timeout=60).returncode == 2


def test_what_the_security_document_says_to_run_is_there() -> None:
    document = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    files = set(re.findall(r"tests/(test_\w+\.py)", document))
    assert len(files) > 10
    texts = {name: (ROOT / "tests" / name).read_text(encoding="utf-8") for name in files}
    chosen = re.findall(r"tests/(test_\w+\.py)`?(?: |, `)-k \"?([a-z_ ]+?)\"?`", document)
    assert chosen
    for name, words in chosen:
        for word in words.split(" or "):
            assert re.search(rf"def test_\w*{word}", texts[name]), (name, word)
    for script in re.findall(r"\((?:\.\./)?(deploy/[\w.]+)\)", document):
        assert (ROOT / script).exists(), script
