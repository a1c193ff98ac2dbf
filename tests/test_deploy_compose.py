"""Compose file, image and Makefile fit the code: commands exist, nothing is open, all is watched."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import wardwave
from dashboard.settings import DashboardSettings, limits_of
from inference.recorder_settings import RecorderSettings
from ingest.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].startswith("wardwave:"))

# The parts of the compose specification that we use; anything else is a slip.
SERVICE_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image", "restart"],
    "patternProperties": {"^x-": {"type": "string"}},
    "properties": {
        "image": {"type": "string", "pattern": "^[a-z0-9/._-]+:[0-9][0-9a-z.-]*$"},
        "build": {"type": "object", "required": ["context"]},
        "environment": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "read_only": {"type": "boolean"},
        "shm_size": {"type": "string", "pattern": r"^\d+mb$"},
        "tmpfs": {"type": "array", "items": {"type": "string"}},
        "cap_drop": {"const": ["ALL"]},
        "security_opt": {"type": "array"},
        "command": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "profiles": {"type": "array", "items": {"type": "string"}},
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
        "volumes": {"type": "array", "items": {"type": "string"}},
        "stop_grace_period": {"type": "string", "pattern": r"^\d+s$"},
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"condition": {"enum": ["service_healthy", "service_completed_successfully"]}},
                "required": ["condition"],
            },
        },
        "healthcheck": {
            "type": "object",
            "additionalProperties": False,
            "required": ["test", "interval", "timeout", "retries", "start_period"],
            "properties": {
                "test": {"type": "array", "prefixItems": [{"const": "CMD"}], "minItems": 2},
                "interval": {"type": "string", "pattern": r"^\d+s$"},
                "timeout": {"type": "string", "pattern": r"^\d+s$"},
                "retries": {"type": "integer", "minimum": 1},
                "start_period": {"type": "string", "pattern": r"^\d+s$"},
            },
        },
    },
}


def arguments(service: dict[str, Any]) -> list[str]:
    """Return the command with ``${NAME:-default}`` filled in."""
    return [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in service["command"]]


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_is_well_formed(name: str) -> None:
    jsonschema.validate(SERVICES[name], SERVICE_SCHEMA)


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_has_a_health_check_or_says_why_not(name: str) -> None:
    service = SERVICES[name]
    assert ("healthcheck" in service) != bool(service.get("x-no-healthcheck"))


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_that_wardwave_knows(name: str) -> None:
    words = arguments(SERVICES[name])
    args = wardwave.build_parser([wardwave.COMMANDS[words[0]]]).parse_args(words)
    assert args.command == words[0]
    assert callable(args.run)


@pytest.mark.parametrize("name", OURS)
def test_health_check_programs_compile(name: str) -> None:
    test = SERVICES[name].get("healthcheck", {}).get("test")
    if test is None:
        assert SERVICES[name]["x-no-healthcheck"]
    else:
        assert test[:3] == ["CMD", "python", "-c"]
        compile(test[3], name, "exec")


def test_services_wait_for_what_they_need() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} waits for the health of {needed}"
            else:
                assert SERVICES[needed]["restart"] == "no", f"{name} waits for the end of {needed}"
        if name not in ("kafka", "topics"):
            assert "topics" in service["depends_on"]


def test_the_worker_can_be_scaled() -> None:
    worker = SERVICES["worker"]
    assert not {"container_name", "ports", "hostname", "volumes"} & set(worker)


def test_variables_are_settings() -> None:
    """A misspelt variable would be ignored without a word."""
    for name in OURS:
        for variable, value in SERVICES[name]["environment"].items():
            if variable == "WARDWAVE_HEALTH_AT":
                assert Settings(health_at=value).health_at == value
                continue
            group, field = variable.removeprefix("WARDWAVE_").lower().split("__")
            own = {"recorder": RecorderSettings(), "dashboard": DashboardSettings()}
            model = own.get(group) or Settings.model_fields[group].default
            assert field in type(model).model_fields
            filled = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
            assert type(model).model_validate({field: int(filled) if filled.isdigit() else filled})


def test_nothing_has_a_default_password() -> None:
    for path in ("docker-compose.yml", "Dockerfile", "Makefile"):
        code = re.sub(r"#.*", "", (ROOT / path).read_text(encoding="utf-8"))
        assert not re.search(r"(?i)passw|secret|token|\bsasl", code), path


@pytest.mark.parametrize("name", OURS)
def test_a_container_can_change_nothing_but_what_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "user", "cap_add", "pid", "network_mode"} & set(service)
    written = {volume.split(":")[1] for volume in service.get("volumes", []) if not volume.endswith(":ro")}
    assert written <= {"/recorded", "/access"}
    assert set(service["tmpfs"]) == {"/tmp", "/home/wardwave"}


def test_data_survive_in_a_named_volume() -> None:
    named = {"kafka", "recorder", "dashboard"}
    used = {volume.split(":")[0] for name in named for volume in SERVICES[name]["volumes"]}
    assert used == set(COMPOSE["volumes"])


def test_the_dashboard_shows_what_the_recorder_wrote_and_stores_labels_there() -> None:
    recorder, dashboard = SERVICES["recorder"], SERVICES["dashboard"]
    url = "WARDWAVE_RECORDER__URL"
    assert dashboard["environment"][url] == recorder["environment"][url]
    assert set(recorder["volumes"]) <= set(dashboard["volumes"]), "writable: a read-only one takes no labels"


def test_the_largest_recording_has_room_in_the_dashboards_memory_folder() -> None:
    settings = DashboardSettings()
    unpacked_mb = limits_of(settings).max_unpacked_mb
    room = int(SERVICES["dashboard"]["shm_size"].removesuffix("mb")) * 2**20
    assert room >= unpacked_mb * settings.analyses_at_once * 10**6


def test_all_who_command_or_obey_share_the_key_and_users_may_be_added() -> None:
    for name in OURS:
        assert SERVICES[name]["environment"]["WARDWAVE_COMMANDS__KEY"] == "${WARDWAVE_COMMANDS__KEY:-}"
    dashboard = SERVICES["dashboard"]
    folders = [volume.split(":")[1] for volume in dashboard["volumes"]]
    for file in ("WARDWAVE_DASHBOARD__USERS", "WARDWAVE_DASHBOARD__ACCESS_LOG"):
        assert str(Path(dashboard["environment"][file]).parent) in folders


def test_the_image_is_not_root_and_holds_all_packages() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    user = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert user
    assert user[-1] != "root"
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line}
    assert {"ingest", "inference", "models", "training", "dashboard", "wardwave.py"} <= copied
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not copied & set(ignored)


def test_the_image_copies_only_what_is_there() -> None:
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--"):
            for source in words[1:-1]:
                assert (ROOT / source).exists(), source


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench"])
def test_make_knows_its_targets(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ".venv/bin/" in done.stdout
    if target == "test":
        assert "--ignore=tests/bench" in done.stdout


def test_ci_is_a_valid_script() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=30)
