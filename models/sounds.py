"""Lung- and heart-sound models for the worker and the upload page: frames in, calibrated probabilities out.

A model of sounds sees leveled log-mel frames. The worker makes them of the conditioned stream with
:func:`models.melspec.log_mel` (``model.mel``) and :class:`models.sounds_level.RunningLevel`
(:meth:`SoundModel.level`), keeps the last ``window_frames`` of each bed, and asks :meth:`SoundModel.listen`
about all beds at once. A whole recording is heard by :meth:`SoundModel.hear`.

Shape legend: B beds, M mel bands, T frames, S steps, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from models import store
from models.cnn_lstm import CnnLstm
from models.errors import CannotExplain, CardMismatch
from models.melspec import MelSpec
from models.sounds_explain import Target, label_target, murmur_target, spectrogram_map, window_target
from models.sounds_heart import NO_STATE, STATES, decode_states, murmur_logit
from models.sounds_level import RunningLevel, mel_spec
from models.sounds_lung import evidence
from models.sounds_run import run_recording, run_windows
from models.spec import Conv2dFrontEnd, ModelSpec

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DIAGNOSES: Final = ("healthy", "chronic", "acute")
"""Groups of diagnoses that the shipped lung model tells apart."""

CLEAN_SHARE: Final = 0.75
"""Of a window's steps that count, from which it has a say in what is said of the whole recording."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a model says of a batch of windows.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (B, K)
        Calibrated, of ``model.classes``: lung crackle and wheeze, heart murmur.
    step_probabilities : ndarray of float32, shape (B, S, K)
        Of ``model.step_classes``: lung crackle and wheeze (each apart), heart S1, systole, S2, diastole
        (sum 1) and murmur.
    attention : ndarray of float32, shape (B, S)
        Weights with which the window was looked at, sum 1.
    diagnoses : ndarray of float32, shape (B, D)
        Lung: of ``model.diagnoses`` (healthy, chronic, acute), sum 1; to be averaged over minutes before
        it is shown. D is 0 where there are none.
    states : ndarray of int64, shape (B, S) or (B, 0)
        Heart: index into :data:`models.sounds_heart.STATES`, decoded.
    """

    probabilities: FloatArray
    step_probabilities: FloatArray
    attention: FloatArray
    diagnoses: FloatArray
    states: IntArray


def _sigmoid(logits: npt.NDArray[np.floating]) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))), dtype=np.float32)


def _softmax(logits: npt.NDArray[np.floating]) -> FloatArray:
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True, initial=-np.inf))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True), dtype=np.float32)


class SoundModel:
    """A model of lung or heart sounds, ready to predict.

    Parameters
    ----------
    network : CnnLstm
        In evaluation mode.
    spec : ModelSpec
        Its card.

    Raises
    ------
    CardMismatch
        The card is of no model of sounds.
    """

    def __init__(self, network: CnnLstm, spec: ModelSpec) -> None:
        front_end = spec.architecture.front_end
        if not isinstance(front_end, Conv2dFrontEnd) or front_end.mel is None:
            raise CardMismatch(
                f"{spec.name}: its {front_end.kind} front end hears no sounds; take a lung or heart model"
            )
        self.network, self.spec = network, spec
        self.mel: MelSpec = mel_spec(front_end.mel)
        self.memory_frames = front_end.mel.memory_s * self.mel.frame_hz
        self.band_hz = spec.band_hz
        self.step_s = spec.step_s
        self.frames_per_step = front_end.columns_per_step
        self.window_steps = round(spec.window_s / spec.step_s)
        self.window_frames = self.window_steps * self.frames_per_step
        self.hop_frames = round(spec.hop_s * self.mel.frame_hz)
        self.heart = spec.task == "heart"
        self.step_classes = spec.step_classes
        # What a step has too stands alone, a sigmoid each; the others exclude one another, a softmax.
        self.classes = tuple(name for name in spec.window_classes if name in spec.step_classes)
        self.diagnoses = tuple(name for name in spec.window_classes if name not in spec.step_classes)

    @classmethod
    def load(cls, name_or_path: str | Path, device: str | torch.device = "cpu") -> SoundModel:
        """Load by a shipped name or a path, as :func:`models.store.load` does, with its errors."""
        return cls(*store.load(name_or_path, device))

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Least probability that calls each of ``classes``, chosen on validation patients."""
        return {name: self.spec.thresholds[name] for name in self.classes}

    def level(self, n_streams: int = 1) -> RunningLevel:
        """What takes levels off the frames of streams."""
        mel = self.mel
        return RunningLevel(
            self.memory_frames, mel.n_mels, n_streams, lines=mel.long > 0, clicks=mel.short > 0
        )

    def leveled(self, frames_MT: FloatArray) -> FloatArray:
        """Frames of a whole recording, (M, T), as the network sees them."""
        leveled: FloatArray = self.level().push(np.zeros(1, dtype=np.int64), frames_MT[None])[0]
        return leveled

    def step_times_s(self, n_steps: int) -> npt.NDArray[np.float64]:
        """Middle of each step in seconds after the first sample of the window."""
        first = ((self.frames_per_step - 1) * self.mel.hop + self.mel.span) / 2 / self.mel.rate_hz
        return np.asarray(first + np.arange(n_steps) * self.step_s, dtype=np.float64)

    def calibrate(self, name: str, logits: npt.NDArray[np.floating]) -> FloatArray:
        """Probabilities of one class's logits, by the card's scale and offset."""
        held = self.spec.thresholds
        return _sigmoid(held.get(f"{name}_scale", 1.0) * logits + held.get(f"{name}_offset", 0.0))

    def listen(self, frames_BMT: FloatArray, where_BS: BoolArray | None = None) -> Heard:
        """What is heard in windows of several beds.

        Parameters
        ----------
        frames_BMT : ndarray of float32, shape (B, M, T)
            Leveled frames; T is ``window_frames`` or any multiple of ``frames_per_step``.
        where_BS : ndarray of bool or None, shape (B, S)
            Steps that count (a breathing cycle), at least one a window; None: the whole window.

        Raises
        ------
        ValueError
            The frames have another number of bands.
        """
        if frames_BMT.ndim != 3 or frames_BMT.shape[1] != self.mel.n_rows:
            raise ValueError(
                f"frames of shape {frames_BMT.shape}: {self.spec.name} takes (B, {self.mel.n_rows}, T)"
            )
        if len(frames_BMT) == 0:
            raise ValueError(f"no windows: {self.spec.name} takes at least one")
        steps, windows, attention = run_windows(self.network, frames_BMT, where_BS)
        inside = np.ones(steps.shape[:2], dtype=np.bool_) if where_BS is None else where_BS
        states = self._states(steps)
        return self._heard(steps, states, self._evidence(steps, windows, states, inside), windows, attention)

    def _states(self, steps_BSK: FloatArray) -> IntArray:
        """Decoded states of heart sounds, (B, S); none of lung sounds, (B, 0)."""
        if self.heart:
            return decode_states(steps_BSK, self.step_s)
        return np.zeros((len(steps_BSK), 0), dtype=np.int64)

    def _evidence(
        self, steps_BSK: FloatArray, windows_BK: FloatArray, states_BS: IntArray, inside_BS: BoolArray
    ) -> npt.NDArray[np.float64]:
        """Logits that the card's calibration is for, (B, K)."""
        if self.heart:
            return murmur_logit(steps_BSK, windows_BK[:, 0], states_BS)[:, None]
        return evidence(steps_BSK, windows_BK[:, : len(self.classes)], inside_BS)

    def _heard(
        self,
        steps_BSK: FloatArray,
        states_BS: IntArray,
        evidence_BK: npt.NDArray[np.float64],
        windows_BK: FloatArray,
        attention_BS: FloatArray,
    ) -> Heard:
        if self.heart:
            apart = [_softmax(steps_BSK[..., : len(STATES)]), _sigmoid(steps_BSK[..., len(STATES) :])]
            of_steps = np.concatenate(apart, axis=-1)
        else:
            columns = [self.calibrate(name, steps_BSK[..., k]) for k, name in enumerate(self.step_classes)]
            of_steps = np.stack(columns, axis=-1)
        diagnoses = windows_BK[:, len(self.classes) :]
        return Heard(
            np.stack(
                [self.calibrate(name, evidence_BK[:, k]) for k, name in enumerate(self.classes)], axis=-1
            ),
            of_steps,
            attention_BS,
            _softmax(diagnoses) if diagnoses.shape[1] else diagnoses,
            states_BS,
        )

    def explain(self, frames_BMT: FloatArray, name: str, where_BS: BoolArray | None = None) -> FloatArray:
        """Where in the spectrograms the evidence for a class lies, (B, bands, T), 0 to 1 (Grad-CAM's kind).

        Parameters
        ----------
        frames_BMT, where_BS : ndarray
            As :meth:`listen` takes them.
        name : str
            One of the card's ``window_classes``: crackle, wheeze, murmur, chronic, …

        Raises
        ------
        CannotExplain
            The model has no such class.
        """
        names = self.spec.window_classes
        if name not in names:
            raise CannotExplain(f"{self.spec.name} knows no {name!r}; its classes are {', '.join(names)}")
        return spectrogram_map(self.network, frames_BMT, self._target(name), where_BS)

    def _target(self, name: str) -> Target:
        index = self.spec.window_classes.index(name)
        if name not in self.classes:
            return window_target(index)
        return murmur_target if self.heart else label_target(index)

    def hear(self, frames_MT: FloatArray, where_S: BoolArray | None = None) -> Heard:
        """What is heard in a whole recording, as one window of its length.

        Windows overlap by half; steps are joined, probabilities and diagnoses averaged over the windows.

        Parameters
        ----------
        frames_MT : ndarray of float32, shape (M, T)
            Leveled frames of the recording, at least one.
        where_S : ndarray of bool or None, shape (S,)
            Steps that count, at least one: S is T by ``frames_per_step``, rounded up. Of the windows those
            speak of which :data:`CLEAN_SHARE` counts, or the best there are. None: all.
        """
        course = run_recording(self.network, frames_MT, self.window_steps, max(1, self.window_steps // 2))
        n_steps = len(course.step_logits)
        counts = np.ones(n_steps, dtype=np.bool_) if where_S is None else where_S
        # What does not count is no evidence of a state either, nor of how long the heart's cycle is.
        states = self._states(np.where(counts[:, None], course.step_logits, np.float32(0))[None])
        place = course.first_step[:, None] + np.arange(self.window_steps)
        inside = place < n_steps
        place = np.minimum(place, n_steps - 1)
        clean = counts[place].mean(axis=1)
        kept = np.flatnonzero(clean >= min(CLEAN_SHARE, float(clean.max())))
        place, inside = place[kept], inside[kept] & counts[place[kept]]
        of_windows = self._evidence(
            course.step_logits[place],
            course.window_logits[kept],
            np.where(counts[place], states[0][place], NO_STATE) if self.heart else states,
            inside,
        )
        return self._heard(
            course.step_logits[None],
            states,
            of_windows.mean(0, keepdims=True),
            course.window_logits[kept].mean(0, keepdims=True),
            self._attention(course.attention, course.first_step, n_steps),
        )

    def _attention(self, attention_WS: FloatArray, starts: IntArray, n_steps: int) -> FloatArray:
        """Attention of windows along the recording, (1, S), sum 1."""
        total = np.zeros(max(n_steps, int(starts[-1]) + attention_WS.shape[1]))
        np.add.at(total, starts[:, None] + np.arange(attention_WS.shape[1]), attention_WS)
        kept = total[:n_steps]
        return np.asarray(kept / kept.sum(), dtype=np.float32)[None]
