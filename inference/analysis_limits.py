"""What a recording that is handed in for analysis may take of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from inference.errors import BadUpload
from ingest.types import SOUNDS, SignalKind

Count = Annotated[int, msgspec.Meta(ge=1)]
Hours = Annotated[float, msgspec.Meta(gt=0)]

MB: Final = 1_000_000

UPLOAD_SETTING: Final = "WARDWAVE_DASHBOARD__MAX_UPLOAD_MB"
MEMORY_SETTING: Final = "WARDWAVE_DASHBOARD__ANALYSIS_MEMORY_MB"
TIME_SETTING: Final = "WARDWAVE_DASHBOARD__ANALYSIS_TIME_S"
"""What administrators raise: refusals name it."""


class AnalysisLimits(msgspec.Struct, frozen=True):
    """Bounds of one analysis; every one is checked before memory is taken.

    ``max_ratio`` is how many times a packed file may grow; ``memory_mb`` and ``time_s`` bound the child
    process that reads and computes.
    """

    max_upload_mb: Count = 50
    max_unpacked_mb: Count = 200
    max_files: Count = 200
    max_ratio: Count = 200
    max_channels: Count = 64
    max_ecg_channels: Count = 16
    max_samples: Count = 44_000_000
    max_hours: Hours = 24.0
    max_sound_hours: Hours = 3.0
    memory_mb: Count = 4_096
    time_s: Count = 900


def check_layout(
    file: str, rates_hz: Sequence[float], lengths: Sequence[int], limits: AnalysisLimits
) -> None:
    """Refuse what a header promises, before samples are read.

    Parameters
    ----------
    file : str
        For messages.
    rates_hz, lengths : sequence
        Rate and number of samples of each channel.
    limits : AnalysisLimits
        Bounds.

    Raises
    ------
    BadUpload
        Too many channels or samples, or too long.
    """
    if not rates_hz:
        raise BadUpload(f"{file}: holds no channels; export it again with its signals")
    if len(rates_hz) > limits.max_channels:
        raise BadUpload(
            f"{file}: {len(rates_hz)} channels; at most {limits.max_channels}: export fewer of them"
        )
    if sum(lengths) > limits.max_samples:
        raise BadUpload(
            f"{file}: {sum(lengths):,} samples; at most {limits.max_samples:,}: export a shorter part, "
            f"or raise {UPLOAD_SETTING} (500,000 a megabyte)"
        )
    for rate_hz, length in zip(rates_hz, lengths, strict=True):
        if length > rate_hz * limits.max_hours * 3600:
            raise BadUpload(
                f"{file}: {length / rate_hz / 3600:,.1f} h long; at most {limits.max_hours:g} h: "
                "export a shorter part"
            )


def check_signal(
    file: str, kind: SignalKind, n_channels: int, duration_s: float, limits: AnalysisLimits
) -> None:
    """Refuse a signal whose kind has bounds of its own.

    Raises
    ------
    BadUpload
        Too long, or an ECG with too many leads.
    """
    if duration_s > limits.max_hours * 3600:
        raise BadUpload(
            f"{file}: {duration_s / 3600:,.1f} h long; at most {limits.max_hours:g} h: export a shorter part"
        )
    if kind in SOUNDS and duration_s > limits.max_sound_hours * 3600:
        raise BadUpload(
            f"{file}: a sound of {duration_s / 3600:.1f} h; at most {limits.max_sound_hours:g} h: "
            "export a shorter part"
        )
    if kind is SignalKind.ECG and n_channels > limits.max_ecg_channels:
        raise BadUpload(
            f"{file}: {n_channels} ECG leads; at most {limits.max_ecg_channels}: choose some of them"
        )
