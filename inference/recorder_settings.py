"""Settings of the recorder: ``WARDWAVE_RECORDER__URL=…`` and how long what is kept."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.errors import SettingsError, plain

DEFAULT_URL: Final = "sqlite:///wardwave.sqlite"


class RecorderSettings(BaseModel):
    """Where the store is and how long it keeps what. The URL may hold a password and is never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = SecretStr(DEFAULT_URL)
    vitals_1s_days: float = Field(default=3.0, ge=1, le=3_650, description="trends second by second")
    vitals_1min_days: float = Field(default=90.0, ge=1, le=36_500, description="trends minute by minute")
    alarms_days: float = Field(default=365.0, ge=2, le=36_500, description="alarms, strips, verdicts")
    audit_days: float | None = Field(default=None, ge=30, le=36_500, description="empty keeps them for ever")


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="WARDWAVE_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    recorder: RecorderSettings = RecorderSettings()


def load_recorder_settings(url: str | None = None) -> RecorderSettings:
    """Read the settings from the environment.

    Parameters
    ----------
    url : str, optional
        Takes the place of the environment's.

    Raises
    ------
    SettingsError
        Names each wrong setting and its value; never a URL.
    """
    try:
        settings = _Environment().recorder
    except ValidationError as error:
        lines = "; ".join(
            f"WARDWAVE_{'__'.join(str(part) for part in item['loc']).upper()}="
            f"{_shown(item['loc'], item['type'], item['input'])}: {plain(item['msg'])}"
            for item in error.errors()
        )
        raise SettingsError(lines) from error
    return settings if url is None else settings.model_copy(update={"url": SecretStr(url)})


def _shown(location: tuple[int | str, ...], problem: str, value: object) -> str:
    """Value of a wrong setting; stars where it may hold a password."""
    return repr(value) if location[-1] != "url" and problem != "extra_forbidden" else "***"
