"""Settings: environment variables (``WARDWAVE_KAFKA__BOOTSTRAP_SERVERS=…``) or keyword arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.device_keys import MIN_KEY_CHARACTERS, keys_of
from ingest.environment import PREFIX, read, variable
from ingest.errors import SettingsError
from ingest.setting_checks import (
    WITH_PASSWORD,
    check_login,
    check_pem,
    check_servers,
    check_tls,
    check_topic,
    secret_in,
    unset,
    with_secret,
)


class KafkaSettings(BaseModel):
    """How to reach Kafka. TLS and SASL are passed through to kafka-python."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: SecretStr | None = None
    ssl_check_hostname: bool = True
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] | None = (
        Field(default=None, validate_default=True)
    )
    sasl_plain_username: str | None = Field(default=None, validate_default=True)
    sasl_plain_password_file: Path | None = Field(default=None, description="holds the password alone")
    sasl_plain_password: SecretStr | None = Field(default=None, validate_default=True)
    group_id: str = Field(default="wardwave", min_length=1, max_length=200)
    partitions: int = Field(
        default=64, ge=1, le=10_000, description="fixed at creation: a change breaks order"
    )
    replication_factor: int = Field(default=1, ge=1, le=10)
    output_compression: Literal["gzip", "lz4"] = Field(
        default="lz4", description="of what workers send: gzip is smaller, lz4 costs a tenth of the CPU time"
    )
    session_timeout_ms: int = Field(default=6_000, ge=2_000, le=300_000)
    heartbeat_interval_ms: int = Field(default=500, ge=200, le=100_000)
    max_poll_interval_ms: int = Field(
        default=30_000,
        ge=5_000,
        le=600_000,
        description="a member busy for longer loses its partitions; others wait no longer for it to rejoin",
    )
    request_timeout_ms: int = Field(default=30_000, ge=1_000, le=600_000)

    # Each is checked at its own field: an error about all of them would show the password among them.

    @field_validator("*", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        return unset(value)

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        return check_servers(value)

    @field_validator("ssl_password")
    @classmethod
    def _for_tls(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            check_tls(info)
        return value

    @field_validator("ssl_cafile", "ssl_certfile", "ssl_keyfile")
    @classmethod
    def _used(cls, value: str | None, info: ValidationInfo) -> str | None:
        """A file that is not there, or one for TLS where all would be sent in clear."""
        if value is None:
            return None
        check_tls(info)
        if not Path(value).is_file():
            raise ValueError("there is no such file")
        check_pem(str(info.field_name), value)
        return value

    @field_validator("sasl_mechanism")
    @classmethod
    def _asked_for(cls, value: str | None, info: ValidationInfo) -> str | None:
        asked = str(info.data.get("security_protocol")).startswith("SASL")
        if asked and value is None:
            raise ValueError("name one, SCRAM-SHA-512 for example: SECURITY_PROTOCOL asks for a login")
        if value is not None and not asked:
            raise ValueError("is for a login: set WARDWAVE_KAFKA__SECURITY_PROTOCOL to SASL_SSL")
        return value

    @field_validator("sasl_plain_username")
    @classmethod
    def _named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("sasl_mechanism") in WITH_PASSWORD:
            raise ValueError(f"is needed for {info.data['sasl_mechanism']}")
        # Without: all would be sent in clear, and by nobody.
        if value is not None:
            check_login(info)
        return value

    @field_validator("sasl_plain_password_file")
    @classmethod
    def _readable(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None:
            check_login(info)
        return with_secret(value)

    @field_validator("sasl_plain_password")
    @classmethod
    def _given(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            check_login(info)
        path = info.data.get("sasl_plain_password_file")
        if value is None and path is not None:
            return secret_in(path)
        if value is None and info.data.get("sasl_mechanism") in WITH_PASSWORD:
            raise ValueError("is needed; or name its file in WARDWAVE_KAFKA__SASL_PLAIN_PASSWORD_FILE")
        return value


class Topics(BaseModel):
    """Names of the topics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    raw: str = "biosignals.raw"
    predictions: str = "biosignals.predictions"
    vitals: str = "biosignals.vitals"
    alarms: str = "biosignals.alarms"
    state: str = "biosignals.state"
    commands: str = "biosignals.commands"
    audit: str = "biosignals.audit"
    beds: str = "biosignals.beds"
    device_alarms: str = "biosignals.device_alarms"
    verdicts: str = "biosignals.verdicts"
    dead_letters: str = "biosignals.dlq"
    status: str = "biosignals.status"

    @field_validator("*")
    @classmethod
    def _usable(cls, value: str, info: ValidationInfo) -> str:
        """Refuse a name that Kafka does not take, or that another topic has: two kinds of records in one."""
        check_topic(value)
        same = next((name for name, other in info.data.items() if other == value), None)
        if same is not None:
            raise ValueError(f"is the name of {variable(('topics', same))}, too; give each topic its own")
        return value


class IngestSettings(BaseModel):
    """Limits on what devices may send, and what is done with time."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_record_bytes: int = Field(default=1_000_000, ge=1_000, le=100_000_000)
    max_future_s: float = Field(
        default=60.0, gt=0, description="a chunk further ahead of receive time is refused"
    )
    max_past_s: float = Field(
        default=86_400.0, gt=0, description="a chunk further behind receive time is refused"
    )
    reorder_s: float = Field(default=2.0, ge=0, le=30, description="how long a missing chunk is waited for")
    clock_jump_s: float = Field(
        default=0.25, gt=0, description="a contiguous chunk further off restarts the stream"
    )
    gap_reset_s: float = Field(default=4.0, gt=0, description="a longer gap restarts filters and windows")
    max_chunk_s: float = Field(default=10.0, gt=0, le=600, description="a longer chunk is refused")
    max_ecg_channels: int = Field(default=16, ge=1, le=64, description="an ECG with more is refused")
    device_silence_s: float = Field(
        default=10.0, gt=0, description="after this another device may take the signal"
    )
    device_keys: Path | None = Field(
        default=None, description="TOML file of devices' keys; then only signed records are taken"
    )
    replay_window_s: float = Field(
        default=300.0, gt=0, description="a signed chunk further behind receive time is refused: sent again"
    )

    @property
    def past_s(self) -> float:
        """How far behind its receipt a record may begin."""
        return self.max_past_s if self.device_keys is None else min(self.max_past_s, self.replay_window_s)

    @property
    def past_limit(self) -> str:
        """Name of the setting that says so."""
        return "max_past_s" if self.past_s == self.max_past_s else "replay_window_s"

    @field_validator("device_keys", mode="before")
    @classmethod
    def _no_keys(cls, value: object) -> object:
        return unset(value)

    @field_validator("device_keys")
    @classmethod
    def _usable(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                keys_of(value)
            except SettingsError as error:
                raise ValueError(str(error)) from error
        return value


class CommandSettings(BaseModel):
    """Who may command: a secret that dashboards and workers share."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key_file: Path | None = Field(default=None, description="holds the key alone, instead of key")
    key: SecretStr | None = Field(
        default=None, validate_default=True, description="signs and checks commands; 32 characters or more"
    )
    old_key: SecretStr | None = Field(
        default=None, description="still believed while a new key is brought in"
    )
    max_age_s: float = Field(
        default=300.0,
        gt=0,
        # Workers remember the ids of applied commands for an hour: a record that was kept back must not count
        # anew after that, nor while two clocks differ.
        le=1_800,
        description="a command older when the broker got it is refused",
    )
    max_future_s: float = Field(default=60.0, gt=0, description="so is one from further ahead")

    @field_validator("key", "old_key", "key_file", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        return unset(value)

    @field_validator("key_file")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        return with_secret(value)

    @field_validator("key", "old_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        path = info.data.get("key_file")
        if value is None and path is not None and info.field_name == "key":
            value = secret_in(path)
        if value is not None and len(value.get_secret_value()) < MIN_KEY_CHARACTERS:
            raise ValueError(f"a key needs {MIN_KEY_CHARACTERS} characters or more: openssl rand -hex 32")
        return value


class Settings(BaseSettings):
    """All settings of a Wardwave process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: Topics = Topics()
    ingest: IngestSettings = IngestSettings()
    commands: CommandSettings = CommandSettings()
    alarms_file: str | None = Field(
        default=None, description="TOML with this site's wards and alarm settings (docs/alarms.md)"
    )
    health_at: str | None = Field(
        default=None, description="HOST:PORT where a process answers /healthz, /readyz and /metrics"
    )

    @field_validator("alarms_file", "health_at", mode="before")
    @classmethod
    def _no_value(cls, value: object) -> object:
        return unset(value)


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    SettingsError
        Names each wrong setting, its value unless it may be a secret, and the way out.
    """
    return read(Settings, **overrides)
