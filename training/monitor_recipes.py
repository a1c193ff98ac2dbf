"""Recipes of the monitor: beats at each step and the rhythm of the last seconds, from one lead of ECG."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from models.spec import Architecture
from training.config import OptimizerConfig, Part, Recipe, RunConfig


class DataConfig(Part):
    """Which sets, and how often each kind of window is drawn (weights, normalised)."""

    sources: tuple[str, ...] = ("mitdb", "vfdb", "cinc2017")
    hop_samples: int = Field(default=32, ge=1, le=1000)
    draw: dict[str, float] = {
        "beats": 0.24,
        "beats_S": 0.12,
        "beats_V": 0.13,
        "beats_F": 0.03,
        "vf": 0.09,
        "vt": 0.08,
        "asystole": 0.04,
        "af": 0.07,
        "noise": 0.07,
        "other": 0.09,
        "unsure": 0.03,
        "made_asystole": 0.06,
        "made_flat": 0.02,
        "made_noise": 0.05,
    }


class AugmentConfig(Part):
    """How windows are varied. Probabilities, and ranges drawn log-uniformly (decibels uniformly)."""

    time_scale_probability: float = Field(default=0.5, ge=0, le=1)
    time_scale: tuple[float, float] = (0.87, 1.15)
    gain: tuple[float, float] = (0.4, 2.5)
    flip_probability: float = Field(default=0.05, ge=0, le=1)
    noise_probability: float = Field(default=0.4, ge=0, le=1)
    noise_level: tuple[float, float] = (0.03, 0.8)
    stress_probability: float = Field(
        default=0.55, ge=0, le=1, description="of noise at a signal-to-noise ratio, where beats are known"
    )
    stress_snr_db: tuple[float, float] = (-8.0, 24.0)
    jump_share: float = Field(default=0.3, ge=0, le=1, description="of those, with electrode jumps")
    unread_below_db: float = Field(default=3.0, description="below it a window may be called noise as well")
    high_silence_share: float = Field(
        default=0.35, ge=0, le=1, description="of made asystole under noise as high as an ECG"
    )
    white_probability: float = Field(default=0.2, ge=0, le=1)


class LossConfig(Part):
    """Weights of the classes and of the two heads."""

    step_class_weights: tuple[float, ...] = (1.0, 1.0, 1.5, 1.5, 1.0)
    last_second_weight: float = Field(default=0.3, ge=0, le=1, description="steps that are never final")
    rhythm_weight: float = Field(default=0.5, ge=0)
    label_smoothing: float = Field(default=0.02, ge=0, lt=1)


class TeacherConfig(Part):
    """A trained network whose probabilities are learned beside the labels (Hinton et al. 2015)."""

    model: str = Field(default="", description="name or path; empty: none")
    step_weight: float = Field(default=1.0, ge=0)
    rhythm_weight: float = Field(default=1.0, ge=0)


class MonitorRecipe(Recipe):
    """Recipe of a monitor network."""

    task: ClassVar[str] = "monitor"
    own_records: ClassVar[bool] = True
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    teacher: TeacherConfig = TeacherConfig()


def ecg_cnn_lstm_1() -> MonitorRecipe:
    """One lead of ECG: beats N, S, V, F at each step, and the rhythm of the last 4 s."""
    return MonitorRecipe(
        name="ecg-cnn-lstm-1",
        description="Beats (N, S, V, F) at each 64 ms, rhythm of the last 4 s, from any one lead of ECG.",
        optimizer=OptimizerConfig(steps=4500),
        run=RunConfig(validate_every=1500),
    )


def ecg_cnn_lstm_2() -> MonitorRecipe:
    """The same for running signals: what overlaps is computed once, the rest costs a third.

    It keeps the convolutions of ecg-cnn-lstm-1 (``--from-weights ecg-cnn-lstm-1``) and learns from it.
    """
    return MonitorRecipe(
        name="ecg-cnn-lstm-2",
        description="Beats (N, S, V, F) at each 64 ms, rhythm of the last 4 s, from any one lead of ECG.",
        architecture=Architecture(
            recurrent_stride=5, recurrent_squeeze=16, early_steps=10, hidden=32, score_width=16
        ),
        optimizer=OptimizerConfig(steps=3000, freeze=("front_end",)),
        run=RunConfig(validate_every=1500),
        teacher=TeacherConfig(model="ecg-cnn-lstm-1"),
    )


def ecg_smoke() -> MonitorRecipe:
    """The same in seconds, to try the machinery: its model is of no use."""
    return MonitorRecipe(
        name="ecg-smoke",
        description="A minute's training to try the machinery. Of no use.",
        data=DataConfig(sources=("mitdb", "vfdb")),
        optimizer=OptimizerConfig(steps=40, warmup_steps=5, batch=32, average_decay=0.9),
        run=RunConfig(validate_every=40, checkpoint_every=20, log_every=5),
    )
