"""The recipe of the verdict on ICU alarms: which numbers each kind of alarm is judged by, how firmly."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import Field, model_validator

from models.verdict import KINDS
from training.config import Part

BROAD: Final = "*"
"""Stands for all numbers whose names begin as one of ``broad`` and hold none of ``not_broad``."""


class KindConfig(Part):
    """How alarms of one kind are judged.

    ``variance`` is that of the weights' prior (ridge): few strong numbers may weigh freely, many weak ones
    may not.
    """

    features: tuple[str, ...] = Field(min_length=1)
    variance: float = Field(gt=0)


class VerdictRecipe(Part):
    """All that makes a verdict model: same recipe, data and beats, same weights."""

    task: ClassVar[str] = "verdict"
    name: str
    description: str
    beats: str = Field(
        default="ecg-cnn-lstm-1",
        description="name or path of a monitor model; 'slope': by slope alone, no windows judged",
    )
    pulses: bool = Field(default=True, description="look at pressure and plethysmogram")
    head: Literal["learned", "rules"] = Field(
        default="learned", description="rules: the definitions alone, nothing is fitted"
    )
    broad: tuple[str, ...] = ("mean/", "pulse/", "pulses", "agreed/")
    not_broad: tuple[str, ...] = ("/slow", "/fast")
    kinds: dict[str, KindConfig]
    early_s: tuple[float, ...] = Field(
        default=(0.0, 0.5),
        min_length=1,
        description="each alarm is learned from as if it sounded so much earlier, too: windows fall anywhere",
    )
    expected_score: float = Field(default=0.85, gt=0, le=1, description="fixes the threshold by its costs")
    seed: int = Field(default=7, description="of the folds")

    @model_validator(mode="after")
    def _all_kinds(self) -> VerdictRecipe:
        if set(self.kinds) != set(KINDS):
            raise ValueError(f"kinds: need exactly {', '.join(KINDS)}")
        return self


def icu_verdict_1() -> VerdictRecipe:
    """CinC 2015's five kinds of alarms, judged at the moment they sound."""
    return VerdictRecipe(
        name="icu-verdict-1",
        description="Whether an ICU arrhythmia alarm is true, from ECG and pulse up to its sound.",
        kinds={
            "Asystole": KindConfig(
                features=("evidence/Asystole", "pulse/height_least", "pulse_least/gap"), variance=3.0
            ),
            "Bradycardia": KindConfig(features=("evidence/Bradycardia",), variance=3.0),
            "Tachycardia": KindConfig(features=("evidence/Tachycardia", "least/noise_max"), variance=3.0),
            "Ventricular_Flutter_Fib": KindConfig(
                features=("evidence/Ventricular_Flutter_Fib", "mean/run_v_least", "mean/purity"), variance=3.0
            ),
            "Ventricular_Tachycardia": KindConfig(features=(BROAD,), variance=0.3),
        },
    )
