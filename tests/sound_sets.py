"""Tiny sets of sounds in the layouts that ICBHI 2017 and CirCor are published in, made by the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

FS_HZ = 4_000
S1_S, SYSTOLE_S, S2_S, DIASTOLE_S = 0.1, 0.16, 0.1, 0.34
BEAT_S = S1_S + SYSTOLE_S + S2_S + DIASTOLE_S


def heart_sound(n_beats: int, murmur: bool, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Thumps at S1 and S2, and hiss between them where there is a murmur."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(n_beats * BEAT_S * FS_HZ)) / FS_HZ
    phase = times % BEAT_S
    sound = 0.003 * rng.standard_normal(len(times))
    for at, tone in ((S1_S / 2, 50.0), (S1_S + SYSTOLE_S + S2_S / 2, 70.0)):
        sound += 0.3 * np.exp(-(((phase - at) / 0.025) ** 2)) * np.sin(2 * np.pi * tone * times)
    if murmur:
        systole = (phase > S1_S) & (phase < S1_S + SYSTOLE_S)
        sound += 0.05 * systole * np.sin(2 * np.pi * 180 * times + rng.standard_normal(len(times)))
    return sound


def write_circor(folder: Path, patients: dict[str, str], n_beats: int = 8) -> Path:
    """CirCor: table, recordings in a folder below it, segments but for the first and last beat."""
    recordings = folder / "training_data"
    recordings.mkdir(parents=True)
    head = "Patient ID,Locations,Murmur,Murmur locations,Systolic murmur grading,Campaign\n"
    rows = []
    for i, (patient, murmur) in enumerate(patients.items()):
        heard = "AV" if murmur == "Present" else "nan"
        grade = "I/VI" if murmur == "Present" else "nan"
        rows.append(f"{patient},AV+MV,{murmur},{heard},{grade},CC201{4 + i % 2}\n")
        for place in ("AV", "MV"):
            sound = heart_sound(n_beats, murmur == "Present" and place == "AV", i)
            soundfile.write(recordings / f"{patient}_{place}.wav", sound, FS_HZ)
            lines, at = [f"0 {BEAT_S} 0"], BEAT_S
            for _ in range(n_beats - 2):
                for state, lasts in ((1, S1_S), (2, SYSTOLE_S), (3, S2_S), (4, DIASTOLE_S)):
                    lines.append(f"{at:.5f}\t{at + lasts:.5f}\t{state}")
                    at += lasts
            (recordings / f"{patient}_{place}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "training_data.csv").write_text(head + "".join(rows))
    return folder


def lung_sound(
    cycles: list[tuple[float, float, int, int]], seed: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Breath noise, with clicks in cycles with crackles and a tone in those with wheezes."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(cycles[-1][1] * FS_HZ)) / FS_HZ
    sound = 0.01 * rng.standard_normal(len(times))
    for start, end, crackle, wheeze in cycles:
        inside = (times >= start) & (times < end)
        if crackle:
            clicks = rng.uniform(start, end, 12)
            for at in clicks:
                sound += 0.3 * np.exp(-(((times - at) / 0.002) ** 2))
        if wheeze:
            sound += 0.1 * inside * np.sin(2 * np.pi * 500 * times)
    return sound


LABELS = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 0), (0, 0)]


def write_icbhi(folder: Path, patients: dict[str, str]) -> Path:
    """ICBHI as published: recordings with their cycles, diagnoses, official split by turns."""
    folder.mkdir(parents=True)
    split = []
    for i, patient in enumerate(patients):
        stem = f"{patient}_1b1_{'Al' if i % 2 else 'Tc'}_sc_{'Meditron' if i % 3 else 'Litt3200'}"
        cycles = [(1.5 * k, 1.5 * (k + 1), *LABELS[(k + i) % len(LABELS)]) for k in range(6)]
        soundfile.write(folder / f"{stem}.wav", lung_sound(cycles, i), FS_HZ)
        lines = (f"{a:.3f}\t{b:.3f}\t{c}\t{w}" for a, b, c, w in cycles)
        (folder / f"{stem}.txt").write_text("\n".join(lines) + "\n")
        split.append(f"{stem}\t{'test' if i % 3 == 2 else 'train'}")
    (folder / "ICBHI_challenge_train_test.txt").write_text("\n".join(split) + "\n")
    diagnoses = (f"{patient},{diagnosis}" for patient, diagnosis in patients.items())
    (folder / "patient_diagnosis.csv").write_text("\n".join(diagnoses) + "\n")
    return folder
