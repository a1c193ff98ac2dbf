"""Settings of the dashboard: ``WARDWAVE_DASHBOARD__…``."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.errors import SettingsError


class DashboardSettings(BaseModel):
    """What a dashboard holds and allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    access_log: Path | None = Field(default=None, description="file of who did what, JSON lines")
    access_log_mb: int = Field(
        default=20, ge=1, le=10_000, description="a larger one is rotated; nine are kept"
    )
    max_upload_mb: int = Field(default=200, ge=1, le=4_000, description="largest file that a page takes")
    history_minutes: float = Field(default=10.0, ge=1, le=60, description="of every trace, to scroll back")


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="WARDWAVE_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    dashboard: DashboardSettings = DashboardSettings()


def load_dashboard_settings() -> DashboardSettings:
    """Read the settings from the environment.

    Raises
    ------
    SettingsError
        Names each wrong setting and its value.
    """
    try:
        return _Environment().dashboard
    except ValidationError as error:
        lines = "; ".join(
            f"WARDWAVE_{'__'.join(map(str, item['loc'])).upper()}={item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise SettingsError(lines) from error
