"""Settings of the EEG tasks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from training.config import Part, Recipe


class EegData(Part):
    """Which sets, and how windows are drawn."""

    sources: tuple[str, ...] = ("chbmit_clips", "guinea_bissau_eeg")
    split: Literal["folds", "official"] = Field(
        default="folds",
        description="sides of the fixed split: the first of the folds, or TUSZ's train, dev and eval",
    )
    unit_factor: float = Field(
        default=1.0,
        gt=0,
        description="EDF values times this, where headers tell a wrong unit (1000: µV is mV)",
    )
    window_s: float = Field(default=16.0, gt=0, le=300, description="of EEG in an item of a batch")
    behind_steps: int = Field(default=2, ge=0, le=60, description="steps awaited before one is judged")
    channels: tuple[int, int] = Field(
        default=(5, 12), description="derivations of an item: drawn between these"
    )
    draw: dict[str, float] = {"background": 0.2, "before": 0.2, "seizure": 0.2, "made": 0.4}
    blurred_s: float = Field(
        default=1.0,
        ge=0,
        description="steps so near to an onset or end are not learned: who marks it decides",
    )
    patient_power: float = Field(
        default=0.5, ge=0, le=1, description="a patient is drawn by the seconds there are of it to this power"
    )
    bonn: str = Field(
        default="bonn_eeg", description="set whose ictal segments some made seizures are of; '': none"
    )
    inner: int = Field(default=5, ge=2, description="one part in so many of those who do not test validates")


class EegAugment(Part):
    """How windows are varied; amplitudes are in units of a channel's running scale."""

    gain: float = Field(default=0.25, ge=0, description="SD of the log of a gain of the whole item")
    channel_gain: float = Field(default=0.2, ge=0, description="SD of the log of each channel's own")
    stretch: float = Field(default=0.15, ge=0, lt=0.5, description="time stretched by at most this share")
    missing: float = Field(default=0.1, ge=0, le=1, description="probability that a channel is missing")
    artefact: float = Field(default=0.5, ge=0, le=1, description="probability of an artefact in an item")
    device: float = Field(default=0.5, ge=0, le=1, description="probability of another amplifier's spectrum")
    late: float = Field(default=0.2, ge=0, le=1, description="probability that a window begins with nothing")
    noise: float = Field(default=0.1, ge=0, description="SD of white noise added to every channel, at most")


class EegLoss(Part):
    """Cross entropies of the steps and of the window's end."""

    window_weight: float = Field(default=0.5, ge=0)
    label_smoothing: float = Field(default=0.03, ge=0, lt=0.5)


class EegEvents(Part):
    """From probabilities of seconds to seizures (:class:`models.eeg_events.EventRule`)."""

    within_s: int = Field(
        default=6, ge=1, le=120, description="a seizure is raised by so many past seconds …"
    )
    least_s: int = Field(
        default=4, ge=1, le=120, description="… of which at least so many are over the threshold"
    )
    release: float = Field(default=0.5, gt=0, le=1, description="it ends below this share of the threshold …")
    off_s: int = Field(default=6, ge=1, le=300, description="… for so long")
    false_per_day: float = Field(
        default=0.0,
        ge=0,
        description="background alone chooses the least threshold that raises no more in validation",
    )


class EegRecipe(Recipe):
    """All that makes a seizure model."""

    task: ClassVar[str] = "eeg"
    data: EegData = EegData()
    augment: EegAugment = EegAugment()
    loss: EegLoss = EegLoss()
    events: EegEvents = EegEvents()
