"""A simulated ECG of two leads (II, V1).

Beats are sums of Gaussians around the R peak, as in McSharry, Clifford, Tarassenko and Smith, "A dynamical
model for generating synthetic electrocardiogram signals", IEEE Trans Biomed Eng 50 (2003) 289-294, here in
closed form, evaluated for all beats of a block at once. Fibrillation is a sum of phase-modulated waves of 3
to 8 Hz that wax and wane.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ingest.rhythms import Beat, Beats, heart_of
from ingest.sim_blocks import BlockStream, inside, ramp, seed_of
from ingest.sim_events import OVERLAY, Event, segments_of
from ingest.types import FloatArray, WideFloatArray

LEADS: Final = ("II", "V1")
GAIN: Final = 1_000.0
"""Steps per mV: 1 µV, so that int16 carries the samples without loss."""
_BEFORE_S: Final = 0.30
_AFTER_S: Final = 0.62
_EDGE_S: Final = 0.2

# Columns: time from R (s; T waves times the root of R-R), width (s), lead II (mV), lead V1 (mV).
_P: Final = np.array([[-0.165, 0.022, 0.11, 0.05], [-0.140, 0.016, 0.03, -0.05]])
_QRS: Final = np.array(
    [
        [-0.028, 0.009, -0.09, 0.00],
        [-0.010, 0.008, 0.05, 0.24],
        [0.000, 0.0115, 1.08, 0.00],
        [0.020, 0.0130, 0.00, -0.85],
        [0.030, 0.0100, -0.20, -0.10],
    ]
)
_T: Final = np.array([[0.235, 0.050, 0.11, 0.02], [0.295, 0.036, 0.21, -0.06]])
_WIDE: Final = np.array(
    [
        [-0.048, 0.016, 0.14, 0.22],
        [-0.008, 0.020, 1.05, -0.55],
        [0.034, 0.020, 0.62, -0.62],
        [0.074, 0.016, -0.16, -0.14],
    ]
)
_WIDE_T: Final = np.array([[0.26, 0.040, -0.16, 0.12], [0.32, 0.048, -0.26, 0.22]])


class EcgStream(BlockStream):
    """The ECG of one bed.

    Parameters
    ----------
    seed, bed
        Make the patient.
    events : sequence of Event
        Rhythms and lead-off of this bed.
    fs_hz : float
        Sampling rate.
    """

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = (), fs_hz: float = 250.0) -> None:
        rng = np.random.default_rng(seed_of(seed, bed, "ecg"))
        super().__init__(fs_hz, len(LEADS), 8.0, float(rng.random()))
        self._segments = segments_of(events, "sinus")
        self._off = [(event.at_s, event.end_s) for event in events if event.name == OVERLAY]
        self._beats = Beats(seed, bed, self._segments)
        self._heart = heart_of(seed, bed)
        self._noise = np.random.default_rng(seed_of(seed, bed, "ecg noise"))
        self._noise_mv = rng.uniform(0.010, 0.018)
        self._lead_gain = rng.uniform(0.8, 1.35, 2)
        self._wave_gain = rng.uniform(0.8, 1.2, (3, 1))
        self._wide_sign = rng.choice([-1.0, 1.0], 2)
        self._slow = rng.uniform([0.05, 0.7, 1.1], [0.12, 1.0, 1.6]), rng.uniform(0, 2 * np.pi, 3)
        self._vf = rng.uniform(4.2, 5.4), rng.uniform(0, 2 * np.pi, (4, 6)), rng.uniform(0.42, 0.62)
        self._af = rng.uniform(5.4, 7.0), rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.05, 0.09)

    def lead_off(self, start: int, n_samples: int) -> tuple[bool, ...] | None:
        """Return whether the electrodes are off in any of some samples."""
        first_s, last_s = start / self.fs_hz, (start + n_samples) / self.fs_hz
        off = any(a < last_s and b > first_s for a, b in self._off)
        return (off,) * len(LEADS)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        times_s = np.arange(start, start + n_samples) / self.fs_hz
        white = self._noise.standard_normal((n_samples, 2), dtype=np.float32)
        signal = self._beat_layer(start, n_samples)
        for segment in self._segments:
            if segment.start_s >= times_s[-1] or segment.end_s + _EDGE_S <= times_s[0]:
                continue
            if segment.name in ("vf", "asystole", "af"):
                weight = ramp(times_s, segment.start_s, segment.end_s, _EDGE_S)[:, None]
                if segment.name != "af":
                    # a wave of the last beat must not run on into the arrest
                    signal *= 1.0 - weight * inside(times_s, segment.start_s, segment.end_s)[:, None]
                if segment.name != "asystole":
                    signal += weight * (
                        self._vf_waves(times_s) if segment.name == "vf" else self._f_waves(times_s)
                    )
        signal += self._wander(times_s) + self._noise_mv * white
        for off_s, on_s in self._off:
            rows = inside(times_s, off_s, on_s)
            signal[rows] = 0.0006 * np.clip(white[rows], -3, 3)
        return (np.rint(np.clip(signal, -32, 32) * GAIN) / GAIN).astype(np.float32)

    def _beat_layer(self, start: int, n_samples: int) -> WideFloatArray:
        """Add the waves of all beats that reach into a block."""
        before, after = round(_BEFORE_S * self.fs_hz), round(_AFTER_S * self.fs_hz)
        pad = before + after + 2
        layer = np.zeros((n_samples + 2 * pad, 2))
        first_s, last_s = (start - after) / self.fs_hz, (start + n_samples + before) / self.fs_hz
        beats = self._beats.between(first_s, last_s)
        offsets = np.arange(-before, after)
        for label in ("N", "V"):
            own = [beat for beat in beats if beat.label == label]
            if not own:
                continue
            centres = np.array([round(beat.time_s * self.fs_hz) for beat in own])
            shift_s = centres / self.fs_hz - np.array([beat.time_s for beat in own])
            waves = self._waves(own, label, offsets / self.fs_hz + shift_s[:, None])
            for centre, wave in zip((centres - start + pad - before).tolist(), waves, strict=True):
                layer[centre : centre + len(offsets)] += wave
        return layer[pad : pad + n_samples]

    def _waves(self, beats: Sequence[Beat], label: str, dt_s: WideFloatArray) -> WideFloatArray:
        """Return the waves of beats of one class, shape (n_beats, n_offsets, 2), in mV."""
        p, qrs, t = (_P, _QRS, _T) if label == "N" else (_P[:0], _WIDE, _WIDE_T)
        table = np.concatenate([p, qrs, t])
        stretch = np.sqrt(np.clip([beat.rr_s for beat in beats], 0.3, 1.4))[:, None]
        centre = np.broadcast_to(table[:, 0], (len(beats), len(table))).copy()
        centre[:, len(table) - len(t) :] *= stretch
        width = np.broadcast_to(table[:, 1], centre.shape).copy()
        width[:, len(table) - len(t) :] *= np.sqrt(stretch)
        amplitude = table[:, 2:] * self._lead_gain
        amplitude[: len(p)] *= self._wave_gain[0]
        amplitude[len(table) - len(t) :] *= self._wave_gain[1]
        if label == "V":
            amplitude = amplitude * self._wide_sign * self._wave_gain[2]
        bell = np.exp(-0.5 * ((dt_s[:, :, None] - centre[:, None, :]) / width[:, None, :]) ** 2)
        strength = np.ones((len(beats), len(table)))
        strength[:, : len(p)] = np.array([beat.atrial for beat in beats])[:, None]
        breath = np.sin(2 * np.pi * self._heart.breath_hz * np.array([beat.time_s for beat in beats]))
        strength *= 1.0 + 0.05 * breath[:, None]
        waves: WideFloatArray = (bell * strength[:, None, :]) @ amplitude
        return waves

    def _wander(self, times_s: WideFloatArray) -> WideFloatArray:
        """Breathing and slow drift of about 0.1 mV, and small faster movement that also asystole keeps."""
        (slow, small, fast), phases = self._slow
        breath = np.sin(2 * np.pi * self._heart.breath_hz * times_s + self._heart.breath_phase)
        drift = np.sin(2 * np.pi * slow * times_s + phases[0])
        motion = np.sin(2 * np.pi * small * times_s + phases[1]) + np.sin(
            2 * np.pi * fast * times_s + phases[2]
        )
        mains = 0.003 * np.sin(2 * np.pi * 50.0 * times_s)
        return np.stack(
            [
                0.045 * breath + 0.05 * drift + 0.014 * motion + mains,
                0.03 * breath - 0.04 * drift + 0.012 * motion + mains,
            ],
            axis=1,
        )

    def _f_waves(self, times_s: WideFloatArray) -> WideFloatArray:
        hz, phases, size_mv = self._af
        turn = 2 * np.pi * times_s
        phase = hz * turn + 1.5 * np.sin(0.31 * turn + phases[0]) + 0.8 * np.sin(0.83 * turn + phases[1])
        wave = (
            size_mv
            * (1 + 0.4 * np.sin(0.17 * turn + phases[2]))
            * (np.sin(phase) + 0.35 * np.sin(2 * phase + phases[3]))
        )
        return np.stack([0.5 * wave, wave], axis=1)

    def _vf_waves(self, times_s: WideFloatArray) -> WideFloatArray:
        """Waves around one wandering frequency; beats between them make it wax and wane."""
        hz, phases, size_mv = self._vf
        turn = 2 * np.pi * times_s
        drift = 1.3 * np.sin(0.13 * turn + phases[3, 0]) + 0.7 * np.sin(0.41 * turn + phases[3, 1])
        leads = np.zeros((len(times_s), 2))
        for ratio, share, own in zip((0.78, 1.0, 1.24), (0.5, 1.0, 0.45), phases, strict=False):
            phase = ratio * (hz * turn + drift) + 0.9 * np.sin((0.5 + 0.3 * ratio) * turn + own[0]) + own[1]
            swell = share * (1 + 0.55 * np.sin(0.29 * ratio * turn + own[2]))
            leads[:, 0] += swell * np.sin(phase)
            leads[:, 1] += 0.7 * swell * np.sin(phase + own[3])
        return size_mv * np.tanh(0.9 * leads + 0.12 * leads**2)
