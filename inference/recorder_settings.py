"""Settings of the recorder: ``WARDWAVE_RECORDER__URL=…`` and how long what is kept."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.environment import PREFIX, read

DEFAULT_URL: Final = "sqlite:///wardwave.sqlite"
URLS: Final = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"


class RecorderSettings(BaseModel):
    """Where the store is and how long it keeps what. The URL may hold a password and is never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    url: SecretStr = SecretStr(DEFAULT_URL)
    vitals_1s_days: float = Field(default=3.0, ge=1, le=3_650, description="trends second by second")
    vitals_1min_days: float = Field(default=90.0, ge=1, le=36_500, description="trends minute by minute")
    alarms_days: float = Field(default=365.0, ge=2, le=36_500, description="alarms, strips, verdicts")
    audit_days: float | None = Field(default=None, ge=30, le=36_500, description="empty keeps them for ever")

    @field_validator("url")
    @classmethod
    def _of_a_database(cls, value: SecretStr) -> SecretStr:
        # Whoever asks for settings alone need not wait for the library.
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            make_url(value.get_secret_value())
        except (ArgumentError, ValueError):
            # The library's words would show the password.
            raise ValueError(f"cannot be read; give {URLS}") from None
        return value


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
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
    settings = read(_Environment).recorder
    return settings if url is None else settings.model_copy(update={"url": SecretStr(url)})
