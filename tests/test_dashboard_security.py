"""Nothing from outside becomes markup, and no secret is told by any process that fails."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dashboard
from dashboard import gate
from dashboard.settings import DashboardSettings, limits_of
from inference.recorder_settings import RecorderSettings, load_recorder_settings
from ingest.errors import SettingsError
from ingest.settings import CommandSettings, KafkaSettings, Settings, load_settings
from tests.browsing import free_port

FOLDER = Path(dashboard.__file__).parent
ROOT = FOLDER.parent
SECRETS = ("c0mmand-" + "k" * 32, "p4ssword-of-kafka", "p4ssword-of-database", "d3vice-" + "k" * 32)

REVIEWED = {
    # Made of escaped parts and own words alone, in the function that shows them.
    ("system_view.py", "kind"),
    ("system_view.py", "found.level"),
    ("system_view.py", "tiles"),
    ("system_view.py", "f'<ul>{more}</ul>' if more else ''"),
    ("controls.py", "style"),
}
"""What may stand in HTML without being escaped there: file and expression."""


def shown_as_html() -> list[tuple[str, ast.expr]]:
    """Arguments of every ``st.html``, by file."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "st.html" in text else ():
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_call and node.func.attr == "html" and ast.unparse(node.func.value) == "st":
                found.append((path.name, node.args[0]))
    return found


def is_safe(file: str, node: ast.expr) -> bool:
    """Whether it is a constant, escaped, or reviewed."""
    text = ast.unparse(node)
    if isinstance(node, ast.Constant) or text.split(".")[-1].isupper() or text.startswith("html.escape("):
        return True
    if isinstance(node, ast.JoinedStr):
        return all(is_safe(file, part) for part in node.values)
    return (file, text) in REVIEWED or (isinstance(node, ast.FormattedValue) and is_safe(file, node.value))


def test_what_is_shown_as_html_is_constant_or_escaped() -> None:
    found = shown_as_html()
    assert len(found) >= 6
    for file, node in found:
        assert is_safe(file, node), f"{file}:{node.lineno}: {ast.unparse(node)}"
    assert not is_safe("x.py", ast.parse("f'<b>{label}</b>'", mode="eval").body)
    assert not is_safe("x.py", ast.parse("label", mode="eval").body)


def test_the_browser_is_told_to_run_nothing_of_others() -> None:
    policy = dict(part.split(None, 1) for part in gate.HEADERS["content-security-policy"].split("; "))
    assert policy["object-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    for directive in ("default-src", "script-src", "connect-src", "form-action", "base-uri"):
        assert "'self'" in policy[directive].split()
        assert not any(":" in one and one not in ("data:", "blob:") for one in policy[directive].split())


def test_uploads_have_limits_by_default() -> None:
    limits = limits_of(DashboardSettings())
    assert (limits.max_upload_mb, limits.max_unpacked_mb, limits.time_s, limits.memory_mb) == (
        50, 200, 900, 4_096,
    )  # fmt: skip


def test_no_secret_is_shown_by_settings_however_they_are_printed() -> None:
    settings = Settings(
        kafka=KafkaSettings.model_validate(
            {
                "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "u",
                "sasl_plain_password": SECRETS[1], "ssl_password": SECRETS[1],
            }
        ),
        commands=CommandSettings.model_validate({"key": SECRETS[0], "old_key": SECRETS[0]}),
    )  # fmt: skip
    store = RecorderSettings.model_validate({"url": f"postgresql://u:{SECRETS[2]}@h/d"})
    for one in (settings, store):
        shown = repr(one) + str(one) + str(one.model_dump()) + one.model_dump_json()
        assert not any(secret in shown for secret in SECRETS)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WARDWAVE_COMMANDS__KEY", "s3cret-but-short"),
        ("WARDWAVE_COMMANDS__KEYY", "s3cret-mistyped-" + "k" * 32),
        ("WARDWAVE_KAFKA__SASL_PLAIN_PASSWRD", "s3cret"),
        ("WARDWAVE_RECORDER__URLS", "postgresql://u:s3cret@h/d"),
    ],
)
def test_a_wrong_setting_is_named_without_its_secret(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_recorder_settings() if "RECORDER" in variable else load_settings()
    assert variable in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["topics"],
        ["record", "--url", "sqlite:////nowhere/ward.sqlite"],
        ["simulate", "--beds", "1", "--duration", "2"],
        ["command", "acknowledge", "--bed", "bed-01", "--all", "--user", "nina"],
        ["doctor"],
        ["infer", "--threads", "1"],
    ],
    ids=lambda command: command[0],
)
def test_a_process_that_fails_tells_no_secret(command: list[str], tmp_path: Path) -> None:
    """Every process has all secrets, logs all it can, and finds no broker."""
    keys = tmp_path / "keys.toml"
    keys.write_text(f'"simulator" = "{SECRETS[3]}"')
    keys.chmod(0o600)
    secrets = {
        "WARDWAVE_COMMANDS__KEY": SECRETS[0],
        "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "WARDWAVE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "WARDWAVE_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "WARDWAVE_KAFKA__SASL_PLAIN_USERNAME": "ward",
        "WARDWAVE_KAFKA__SASL_PLAIN_PASSWORD": SECRETS[1],
        "WARDWAVE_KAFKA__REQUEST_TIMEOUT_MS": "1000",
        "WARDWAVE_RECORDER__URL": f"postgresql://ward:{SECRETS[2]}@127.0.0.1:{free_port()}/ward",
        "WARDWAVE_INGEST__DEVICE_KEYS": str(keys),
    }
    done = subprocess.run(
        [sys.executable, "-m", "wardwave", "--log-level", "DEBUG", *command],
        env={**os.environ, **secrets},
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2), said
    assert said
    assert not any(secret in said for secret in SECRETS)
