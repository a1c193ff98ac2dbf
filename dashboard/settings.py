"""Settings of the dashboard: ``WARDWAVE_DASHBOARD__…``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from dashboard.users import Role
from inference.analysis_limits import AnalysisLimits
from ingest.environment import PREFIX, read

UNPACKED: Final = 4
"""An archive may grow so many times over the largest upload."""
SAMPLES_PER_MB: Final = 500_000
"""What EDF and WFDB hold in a megabyte, two bytes each."""


class DashboardSettings(BaseModel):
    """What a dashboard holds and allows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    users: Path | None = Field(default=None, description="file of local users (wardwave users)")
    oidc: bool = Field(default=False, description="people sign in by OIDC; [auth] in secrets.toml says where")
    oidc_name_claim: str = Field(
        default="email", min_length=1, description="names the user in logs and audits"
    )
    oidc_role_claim: str = Field(default="groups", min_length=1, description="holds groups or roles")
    oidc_roles: dict[str, Role] = Field(
        default={}, description="role of each value of that claim; who has none is refused"
    )
    idle_minutes: float = Field(
        default=15.0, ge=1, le=1_440, description="without a touch, then clinicians and admins are signed out"
    )
    viewer_idle_minutes: float = Field(
        default=0.0, ge=0, le=1_440, description="the same for viewers; 0: never, for screens on the wall"
    )
    session_hours: float = Field(
        default=12.0, ge=0.25, le=72, description="then clinicians and admins sign in again"
    )
    tls_certificate: Path | None = Field(default=None, description="PEM; the dashboard then speaks https")
    tls_key: Path | None = Field(default=None, description="PEM, of the certificate")
    hosts: tuple[str, ...] = Field(
        default=(), description="names that browsers may call this server by (default: any behind a sign-in)"
    )
    access_log: Path | None = Field(default=None, description="file of who did what, JSON lines")
    access_log_mb: int = Field(
        default=20, ge=1, le=10_000, description="a larger one is rotated; nine are kept"
    )
    max_upload_mb: int = Field(default=50, ge=1, le=1_000, description="largest upload that Analyse takes")
    analyses_at_once: int = Field(default=1, ge=1, le=16, description="child processes of Analyse; more wait")
    analysis_time_s: int = Field(default=900, ge=10, le=86_400, description="then an analysis is stopped")
    analysis_memory_mb: int = Field(default=4_096, ge=1_000, description="of one analysis")
    history_minutes: float = Field(default=10.0, ge=1, le=60, description="of every trace, to scroll back")


def limits_of(settings: DashboardSettings) -> AnalysisLimits:
    """Return what an analysis may take, on the page and as a command."""
    # A larger upload is of no use where what it holds is refused.
    most = max(AnalysisLimits().max_samples, SAMPLES_PER_MB * settings.max_upload_mb)
    return AnalysisLimits(
        max_upload_mb=settings.max_upload_mb,
        max_unpacked_mb=UNPACKED * settings.max_upload_mb,
        max_samples=most,
        time_s=settings.analysis_time_s,
        memory_mb=settings.analysis_memory_mb,
    )


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    dashboard: DashboardSettings = DashboardSettings()


def load_dashboard_settings() -> DashboardSettings:
    """Read the settings from the environment.

    Raises
    ------
    SettingsError
        Names each wrong setting, its value unless it may be a secret, and the way out.
    """
    return read(_Environment).dashboard
