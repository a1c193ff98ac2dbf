"""Which code runs: version of the package, commit of the working tree, versions of the libraries."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

PACKAGE: Final = "wardwave"
UNKNOWN: Final = "unknown"


def installed(name: str = PACKAGE) -> str:
    """Version of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return UNKNOWN


def libraries(*names: str) -> dict[str, str]:
    """Versions of Python and of these packages; none of them is loaded."""
    return {"Python": platform.python_version()} | {name: installed(name) for name in names}


def code_commit(*folders: str) -> str:
    """Commit of the working tree, '+' where these folders' files differ from it; 'unknown' outside of one."""
    git = shutil.which("git")
    if git is None:
        return UNKNOWN
    root = Path(__file__).parent.parent

    def ask(*words: str) -> str:
        done = subprocess.run([git, *words], cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.strip() if done.returncode == 0 else ""

    if not ask("ls-files", "--", "ingest/version.py"):
        # Installed below another project's repository: its commit would say nothing of this code.
        return UNKNOWN
    commit = ask("rev-parse", "--short=12", "HEAD")
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", *folders)
    return (commit + ("+" if changed else "")) or UNKNOWN
