"""Networks of sounds for tests: small ones with random weights, and one that goes by a plain rule."""

from __future__ import annotations

import numpy as np
import torch

from models.cnn_lstm import CnnLstm
from models.melspec import HEART_MEL, LUNG_MEL, MelSpec
from models.sounds import DIAGNOSES, Heard, SoundModel
from models.sounds_heart import STEP_CLASSES
from models.spec import Architecture, Conv2dFrontEnd, Cost, MelFrames, ModelSpec

FS_HZ = 4_000
STANDS_OUT = 1.0


def mel_frames(mel: MelSpec) -> MelFrames:
    return MelFrames(
        rate_hz=mel.rate_hz,
        window=mel.window,
        hop=mel.hop,
        n_fft=mel.n_fft,
        n_mels=mel.n_mels,
        low_hz=mel.low_hz,
        high_hz=mel.high_hz,
        floor=mel.floor,
    )


def network(heart: bool) -> tuple[CnnLstm, ModelSpec]:
    """Random weights; frames, windows and classes as the shipped ones have them."""
    torch.manual_seed(3)
    mel = HEART_MEL if heart else LUNG_MEL
    strides = (2, 1, 1) if heart else (2, 2, 1)
    window_s = 4.0 if heart else 5.12
    window_classes = ("murmur",) if heart else ("crackle", "wheeze", *DIAGNOSES)
    step_classes = STEP_CLASSES if heart else ("crackle", "wheeze")
    front_end = Conv2dFrontEnd(
        rows=mel.n_mels,
        hop=mel.hop,
        mel=mel_frames(mel),
        widths=(4, 4, 6),
        row_pools=(2, 2, 4),
        strides=strides,
        features=12,
    )
    step_s = front_end.stride / mel.rate_hz
    config = Architecture(
        front_end=front_end,
        recurrent_stride=1,
        hidden=6,
        attention_width=8,
        heads=2,
        window_steps=round(window_s / step_s),
        step_classes=len(step_classes),
        window_classes=len(window_classes),
    )
    spec = ModelSpec(
        name="heart-test" if heart else "lung-test",
        task="heart" if heart else "lung",
        description="a test's",
        signal="sound",
        fs_hz=mel.rate_hz,
        band_hz=(25.0, 400.0) if heart else (50.0, 1800.0),
        window_s=window_s,
        hop_s=1.0 if heart else 3.0,
        step_s=step_s,
        step_classes=step_classes,
        window_classes=window_classes,
        thresholds={"murmur": 0.5} if heart else {"crackle": 0.6, "wheeze": 0.5},
        normalisation="",
        architecture=config,
        cost=Cost(parameters=1, mflop_per_window=1.0, recurrent_share=0.1),
        data="none",
        split={},
        metrics={},
        training={},
        code_commit="none",
    )
    return CnnLstm(config).eval(), spec


def random_model(heart: bool = False) -> SoundModel:
    return SoundModel(*network(heart))


class RuleModel(SoundModel):
    """A band above 1 kHz that stands out of the others is a wheeze, no matter what it sounds like."""

    def __init__(self) -> None:
        super().__init__(*network(False))

    def listen(self, frames_BMT: np.ndarray, where_BS: np.ndarray | None = None) -> Heard:
        out = frames_BMT[:, -16:].max(axis=1) - np.median(frames_BMT, axis=1)
        loud = np.median(out.reshape(len(frames_BMT), -1, 4), axis=2) > STANDS_OUT
        looked = loud if where_BS is None else loud & where_BS
        wheeze = np.where(looked.any(axis=1), 0.9, 0.1)
        return Heard(
            np.stack([np.full(len(loud), 0.1), wheeze], axis=1).astype(np.float32),
            np.stack([np.zeros_like(loud), 0.8 * loud], axis=2).astype(np.float32),
            np.full(loud.shape, 1 / loud.shape[1], dtype=np.float32),
            np.tile(np.float32([0.2, 0.7, 0.1]), (len(loud), 1)),
            np.zeros((len(loud), 0), dtype=np.int64),
        )

    def hear(self, frames_MT: np.ndarray, where_S: np.ndarray | None = None) -> Heard:
        n_steps = frames_MT.shape[1] // self.frames_per_step
        where_BS = None if where_S is None else where_S[None, :n_steps]
        return self.listen(frames_MT[None, :, : n_steps * self.frames_per_step], where_BS)


def breathing(
    seconds: float, wheezes: tuple[tuple[float, float], ...] = (), period_s: float = 4.0, fs_hz: int = FS_HZ
) -> np.ndarray:
    """Hiss that swells once a breath (begun at multiples of ``period_s``), and tones at 1,400 Hz."""
    times = np.arange(round(seconds * fs_hz)) / fs_hz
    hiss = np.random.default_rng(5).standard_normal(len(times))
    kernel = np.ones(max(2, fs_hz // 1_000)) / max(2, fs_hz // 1_000)
    swell = np.maximum(0.02, np.sin(np.pi * np.clip((times % period_s) / (0.8 * period_s), 0, 1)) ** 2)
    hiss = np.convolve(hiss, kernel, "same")
    sound = 0.025 * hiss / hiss.std() * swell
    for begin_s, end_s in wheezes:
        sound += 0.03 * np.sin(2 * np.pi * 1_400 * times) * ((times >= begin_s) & (times < end_s))
    return sound.astype(np.float32)
