"""Settings of the beats task."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from models.beat_rows import CONTEXT, RUNNING
from training.config import Part, Recipe


class BeatsData(Part):
    """Which recordings, and how often sequences of each kind are drawn (shares; the rest is plain mitdb)."""

    monitor: str = Field(
        default="ecg-cnn-lstm-1",
        description="network that finds beats: in records without marks, and end to end",
    )
    cinc2017: bool = Field(default=True, description="normal rhythm and AF of CinC 2017, labelled in part")
    beats: int = Field(default=40, ge=2, le=512, description="beats of a sequence")
    hidden: tuple[str, ...] = Field(
        default=(),
        description="kept from the network (ablation): names of models.beat_rows.CONTEXT, 'running'",
    )
    aberrant_may_be_v: bool = Field(
        default=True, description="training takes S with aberrant conduction as S or V: the shape is V's"
    )
    draw_s: float = Field(default=0.25, ge=0, le=1, description="of mitdb: sequences chosen for an S beat")
    draw_v: float = Field(default=0.35, ge=0, le=1)
    draw_f: float = Field(default=0.05, ge=0, le=1)
    draw_cinc2017: float = Field(default=0.20, ge=0, le=1)
    draw_made: float = Field(default=0.35, ge=0, le=1, description="made ectopy: training.beats_made")
    made_per_lead: int = Field(default=2, ge=1, le=50, description="made recordings from each mitdb lead")
    made_beats: int = Field(
        default=400, ge=50, le=10_000, description="beats of a made recording of a mitdb lead"
    )

    @field_validator("hidden")
    @classmethod
    def _known(cls, hidden: tuple[str, ...]) -> tuple[str, ...]:
        for name in hidden:
            if name not in (*CONTEXT, RUNNING):
                raise ValueError(f"{name!r}: what can be hidden is {RUNNING}, {', '.join(CONTEXT)}")
        return hidden


class BeatsAugment(Part):
    """How sequences are varied."""

    rate_scale: float = Field(default=0.25, ge=0, le=1, description="R-R intervals times exp(±this)")
    time_scale: float = Field(default=0.12, ge=0, le=1, description="a beat's shape in time times exp(±this)")
    flip: float = Field(default=0.1, ge=0, le=1)
    noise: float = Field(default=0.4, ge=0, le=1, description="share of sequences with noise of nstdb")
    noise_level: tuple[float, float] = (0.02, 0.5)
    white: float = Field(default=0.2, ge=0, le=1)
    jitter: float = Field(default=0.5, ge=0, le=1, description="share whose peaks are a sample or two off")
    missed: float = Field(default=0.2, ge=0, le=1, description="share that lack some beats")
    false: float = Field(default=0.2, ge=0, le=1, description="share with some beats that are none")
    short: float = Field(default=0.15, ge=0, le=1, description="share that begin as a stream does")
    waited: float = Field(
        default=0.5, ge=0, le=1, description="of sequences with a pause behind: share that know it was waited"
    )


class BeatsLoss(Part):
    """Weights of the classes none, N, S, V, F."""

    class_weights: tuple[float, float, float, float, float] = (0.5, 1.0, 1.0, 1.5, 0.5)
    label_smoothing: float = Field(default=0.02, ge=0, lt=1)
    first_beats: int = Field(default=4, ge=0, description="beats of a sequence whose past is out of sight")
    first_weight: float = Field(default=0.3, ge=0, le=1)


class BeatsDecision(Part):
    """How a beat's class is decided. Gains were chosen on DS1 patients out of fold."""

    wait_s: float = Field(default=1.5, gt=0, description="so long is the next beat waited for")
    gains: tuple[float, float, float, float] = Field(
        default=(1.0, 1.0, 1.0, 1.0), description="factors of N, S, V, F before the largest wins"
    )


class BeatsRecipe(Recipe):
    """All that makes a model of beats."""

    task: ClassVar[str] = "beats"
    own_records: ClassVar[bool] = True
    data: BeatsData = BeatsData()
    augment: BeatsAugment = BeatsAugment()
    loss: BeatsLoss = BeatsLoss()
    decision: BeatsDecision = BeatsDecision()
