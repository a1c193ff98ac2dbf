"""The shape of the code: imports point one way, packages are ours, the command is whole."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import wardwave

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "ingest": {"ingest"},
    "models": {"models"},
    "inference": {"inference", "ingest", "models"},
    "training": {"training", "inference", "ingest", "models"},
    "dashboard": {"dashboard", "inference", "ingest", "models"},
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        strangers = imported(path) & set(MAY_IMPORT) - MAY_IMPORT[package]
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


def test_ingest_never_loads_torch_nor_models_kafka() -> None:
    for package, forbidden in (("ingest", {"torch", "streamlit"}), ("models", {"kafka", "streamlit"})):
        for path in (ROOT / package).rglob("*.py"):
            assert not imported(path) & forbidden, path


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_come_from_this_repository_and_begin_empty(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ == str(ROOT / package / "__init__.py")
    assert (ROOT / package / "__init__.py").read_text() == ""


def test_no_dashboard_module_is_named_like_a_package() -> None:
    installed = set(MAY_IMPORT) | {"kafka", "numpy", "scipy", "streamlit", "torch", "wfdb", "wardwave"}
    assert not installed & {path.stem for path in (ROOT / "dashboard").glob("*.py")}


def test_the_dashboard_s_pages_begin_without_torch() -> None:
    """Seconds and hundreds of megabytes that only explanations need."""
    pages = [f"dashboard.{path.stem}" for path in (ROOT / "dashboard").glob("page_*.py")]
    assert len(pages) >= 6
    program = f"import sys, {', '.join(pages)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_every_command_has_help() -> None:
    parser = wardwave.build_parser(sorted(set(wardwave.COMMANDS.values())))
    text = parser.format_help()
    for command in wardwave.COMMANDS:
        assert f"    {command}" in text


def test_a_reader_who_has_had_enough_is_no_error() -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "wardwave", "alarms", "catalogue"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    # As "| head" does.
    running.stdout.close()
    running.stdout = None
    _, complaint = running.communicate(timeout=60)
    assert (running.returncode, complaint) == (141, b"")


def test_a_wrong_setting_is_named_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wardwave", "topics"],
        env={"WARDWAVE_KAFKA__PARTITIONS": "many", "PATH": "/usr/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "WARDWAVE_KAFKA__PARTITIONS='many'" in done.stderr
    assert "Traceback" not in done.stderr
