"""A stand-in for a network that looks for seizures, and an EEG that it takes for one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.eeg import EegState as NetworkState
from models.eeg import SeenSecond
from models.eeg_events import EventRule, EventWatch
from models.spec import Cost, ModelSpec
from tests.eeg_playing import simulated
from training.eeg_recipes import eeg_seizure_1

BEHIND = 2
RULE = EventRule(threshold=0.6, within_s=6, least_s=4, release=0.5, off_s=6)
LOUD_UV = 60.0


def card(**changes: object) -> ModelSpec:
    values = {
        "name": "eeg-test", "task": "eeg", "description": "", "signal": "eeg", "unit": "uV", "fs_hz": 128.0,
        "window_s": 16.0, "step_s": 1.0, "right_context_s": float(BEHIND),
        "step_classes": ("none", "seizure"), "window_classes": ("seizure",), "band_hz": (0.5, 40.0),
        "thresholds": {"seizure": 0.6, "within_s": 6, "least_s": 4, "release": 0.5, "off_s": 6},
        "normalisation": "", "architecture": eeg_seizure_1().architecture, "data": "", "split": {},
        "metrics": {}, "cost": Cost(parameters=0, mflop_per_window=0, recurrent_share=0), "training": {},
        "code_commit": "",
    }  # fmt: skip
    return ModelSpec.model_validate(values | changes)


class LoudWatch:
    """Any second that is loud somewhere is of a seizure: a threshold in the place of a network."""

    def __init__(self, n_beds: int) -> None:
        self.waiting = np.full((n_beds, BEHIND + 1), np.nan, dtype=np.float32)
        self.events = EventWatch(RULE, n_beds)

    def push(self, beds: np.ndarray, x_BCN: np.ndarray) -> SeenSecond:
        there = np.isfinite(x_BCN).any(axis=(1, 2))
        size = np.sqrt(np.nanmax(np.where(np.isfinite(x_BCN), x_BCN, 0) ** 2, axis=1).mean(axis=1))
        now = np.where(there, np.where(size > LOUD_UV, 0.9, 0.1), np.nan).astype(np.float32)
        self.waiting[beds] = np.concatenate([self.waiting[beds, 1:], now[:, None]], axis=1)
        asked = self.waiting[beds, 0]
        looked = np.zeros((len(beds), 18), dtype=np.float32)
        looked[:, [0, 15]] = 0.4, 0.6
        return SeenSecond(asked, self.waiting[beds], looked, self.events.push(beds, asked))

    def reset(self, bed: int) -> None:
        self.waiting[bed] = np.nan
        self.events.reset(bed)

    def state(self, bed: int) -> NetworkState:
        nothing = np.zeros(0, dtype=np.float32)
        return NetworkState(
            np.zeros((2, 18)),
            self.waiting[bed],
            nothing,
            nothing,
            np.zeros(0, np.bool_),
            self.events.state(bed),
        )

    def restore(self, bed: int, state: NetworkState) -> None:
        self.waiting[bed] = state.before
        self.events.restore(bed, state.events)


@dataclass
class Loud:
    """A card over :class:`LoudWatch`."""

    spec: ModelSpec = field(default_factory=card)
    channels: int = 18
    samples: int = 128
    behind: int = BEHIND
    rule: EventRule = RULE

    def watch(self, n_beds: int = 1) -> LoudWatch:
        return LoudWatch(n_beds)


def loud(seconds: int, *spans: tuple[int, int]) -> np.ndarray:
    """A simulated EEG with stretches of 4 Hz waves of 300 µV."""
    eeg = simulated(seconds)
    at = np.arange(len(eeg)) / 256
    for begin, end in spans:
        waves = 300 * np.sin(2 * np.pi * 4 * at)[:, None] * np.random.default_rng(1).uniform(-1, 1, 19)
        eeg = eeg + waves * ((at >= begin) & (at < end))[:, None]
    return eeg
