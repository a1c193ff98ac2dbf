"""The shock task: whether 4 s of one lead are VF (with flutter), VT of at least 150/min, or neither."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ingest.conditioning import ECG
from models.cnn_lstm import CnnLstm
from training.evaluation import Cell, Evaluation, Predictions, Strip, pool
from training.noise_records import load_noise
from training.shock_config import ShockRecipe
from training.shock_folds import deal
from training.shock_rate import periods
from training.shock_records import (
    CLASSES,
    GUARD_S,
    PATIENT_OF,
    STRATA,
    WINDOW_S,
    ShockRecord,
    list_records,
    read_records,
)
from training.shock_sampling import ShockSampler
from training.shock_scores import apart_rows, choose_thresholds, decide, describe, told_apart
from training.shock_windows import ShockWindows, windows_of
from training.sources import FloatArray, IntArray
from training.splits import PACED, side_of
from training.task import CardFields, Names, Split, Task

CAVEATS: Final = (
    "Research software, no medical device.",
    "Fibrillation and flutter come from six patients of the sets here, fast tachycardia from twelve.",
    "vfdb marks some polymorphic and fibrillating stretches VT: VF against VT is no better than its marks.",
    "The rate of vfdb's tachycardia is estimated by autocorrelation, not annotated.",
    "Windows of noise marked in vfdb and high-grade ectopy have no sure truth: reported apart.",
    "The window must lie inside one rhythm: for up to 4 s after an onset it does not.",
)
BATCH: Final = 1024
STRIPS: Final = 4
"""Pictures of wrong windows that an evaluation carries."""


def run_windows(model: CnnLstm, windows: ShockWindows) -> FloatArray:
    """Class probabilities of all windows, (n, 3)."""
    device = next(model.parameters()).device
    length = round(WINDOW_S * ECG.rate_hz)
    model.eval()
    found = []
    with torch.inference_mode():
        for first in range(0, len(windows), BATCH):
            cut = windows.signal[windows.start[first : first + BATCH, None] + np.arange(length)]
            logits = model(torch.from_numpy(cut[:, None]).to(device)).window_logits
            found.append(logits.float().softmax(-1).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, len(CLASSES)), dtype=np.float32)


def masked_cross_entropy(
    logits: Tensor, allowed: Tensor, vf_vt_weight: float, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Minus log of the probability of the classes that may hold, mean over windows.

    Parted by the chain rule: whether shockable, and then which of VF and VT.

    Parameters
    ----------
    logits, allowed : Tensor, shape (B, K)
        ``allowed`` is 1 where a class may hold.
    vf_vt_weight : float
        Weight of the second part.
    smoothing : float
        Share of a uniform target.

    Returns
    -------
    total, whether : Tensor, scalar
        ``whether`` is the first part alone.
    """
    log_p = logits.log_softmax(-1)

    def of(may: Tensor) -> Tensor:
        return -torch.where(may > 0, log_p, torch.full_like(log_p, -torch.inf)).logsumexp(-1)

    shock = allowed[:, :2].amax(1, keepdim=True)
    whether = of(torch.cat([shock, shock, allowed[:, 2:]], 1))
    parted = whether + vf_vt_weight * (of(allowed) - whether)
    return ((1 - smoothing) * parted - smoothing * log_p.mean(-1)).mean(), whether.mean()


def worst_strips(
    records: Sequence[ShockRecord], windows: ShockWindows, found: FloatArray, decided: IntArray
) -> tuple[Strip, ...]:
    """The surest wrong window of each of a few records, all leads, 2 s more on both sides."""
    shock = found[:, 0] + found[:, 1]
    sure = windows.stratum < len(CLASSES)
    wrong = np.flatnonzero(sure & ((windows.stratum < 2) != (decided < 2)))
    surest = wrong[np.argsort(-np.abs(shock[wrong] - 0.5), kind="stable")]
    first = {
        int(owner): int(row) for row, owner in zip(surest[::-1], windows.owner[surest[::-1]], strict=True)
    }
    rows = sorted(first.values(), key=lambda row: -abs(float(shock[row]) - 0.5))[:STRIPS]
    strips = []
    for row in rows:
        record, span = records[windows.owner[row]], int(windows.span[row])
        begin = max(0, round((windows.second[row] - 2) * ECG.rate_hz))
        at_s = float(windows.second[row]) - begin / ECG.rate_hz
        strips.append(
            Strip(
                f"{record.name} lead {windows.lead[row] + 1} @ {windows.second[row]:.1f} s: marked "
                f"{record.spans[span].mark[1:]}, shockable with {100 * shock[row]:.0f} %",
                ECG.rate_hz,
                record.signal[:, begin : begin + round(8 * ECG.rate_hz)],
                ((at_s, "window"), (at_s + WINDOW_S, "end")),
            )
        )
    return tuple(strips)


class ShockTask(Task):
    """Windows of 4 s, each lead by itself; see :class:`~training.task.Task`."""

    recipe: ShockRecipe

    @cached_property
    def _held(self) -> dict[str, ShockRecord]:
        return {}

    @cached_property
    def names(self) -> Names:
        """All records of the recipe's sets."""
        return tuple(name for source in self.recipe.data.sources for name in list_records(self.data, source))

    def records(self, names: Names) -> list[ShockRecord]:
        """Records, read once."""
        missing = tuple(name for name in names if name not in self._held)
        for record in read_records(self.data, missing, ECG, self.cache):
            self._held[record.name] = record
        return [self._held[name] for name in names]

    def split(self) -> Split:
        """As :mod:`training.splits` has it; paced records train, records of one person stay together."""
        sides: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for name in self.names:
            source, _, record = PATIENT_OF.get(name, name).partition("/")
            side = "train" if source == "mitdb" and record in PACED else side_of(source, record)
            # Weakly labelled records cannot be scored: they train or are left out.
            if side is not None and (side == "train" or source in GUARD_S):
                sides[side].append(name)
        return Split(tuple(sides["train"]), tuple(sides["validation"]), tuple(sides["test"]))

    def folds(self, k: int) -> list[Split]:
        """By patient, VF and VT spread; each fold's validation side is the next fold's test side.

        Raises
        ------
        BadRecipe
            More folds than patients with VF.
        """
        scored = tuple(name for name in self.names if name.partition("/")[0] in GUARD_S)
        weak = tuple(name for name in self.names if name not in scored)
        fold = deal(self.records(scored), k)
        part = [
            tuple(record.name for record in self.records(scored) if fold[record.patient] == i)
            for i in range(k)
        ]
        splits = []
        for i in range(k):
            held_out = {*part[i], *part[(i + 1) % k]}
            train = tuple(name for name in scored if name not in held_out)
            splits.append(Split(train + weak, part[(i + 1) % k], part[i]))
        return splits

    def sampler(self, names: Names) -> ShockSampler:
        """Windows drawn by kind, patients evenly."""
        return ShockSampler(
            self.records(names), load_noise(self.data), ECG.rate_hz, self.recipe.data, self.recipe.augment
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross entropy over the classes that may hold."""
        config = self.recipe.loss
        total, whether = masked_cross_entropy(
            model(batch["x"]).window_logits, batch["allowed"], config.vf_vt_weight, config.label_smoothing
        )
        return {"loss": total, "shock_loss": whether}

    def _scored(self, model: CnnLstm, names: Names) -> tuple[list[ShockRecord], ShockWindows, FloatArray]:
        records = self.records(tuple(name for name in names if name.partition("/")[0] in GUARD_S))
        windows = windows_of(records, ECG.rate_hz, WINDOW_S)
        return records, windows, run_windows(model, windows)

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``score``: mean of patients' sensitivity (at one half) and the specificity."""
        records, windows, found = self._scored(model, names)
        called = found[:, 0] + found[:, 1] >= 0.5
        patients = np.array([records[owner].patient for owner in windows.owner])
        shock = windows.stratum < 2
        hit = [called[shock & (patients == p)].mean() for p in np.unique(patients[shock])]
        sensitivity = float(np.mean(hit)) if hit else float("nan")
        specificity = float(1 - called[windows.stratum == STRATA.index("other")].mean())
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "score": float(np.nanmean([sensitivity, specificity])),
        }

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``shock``: least probability of VF or VT; ``vf``: least share of VF in it."""
        records, windows, found = self._scored(model, names)
        sure = windows.stratum < len(CLASSES)
        patients = [records[owner].patient for owner in windows.owner[sure]]
        _, patient = np.unique(patients, return_inverse=True)
        return choose_thresholds(found[sure], windows.stratum[sure], patient.astype(np.int64))

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Windows end to end, record by record; slow VT, ectopy and noise apart."""
        records, windows, found = self._scored(model, names)
        sure = windows.stratum < len(CLASSES)
        decided = decide(found, thresholds)
        items = [
            f"{records[o].name} lead {lead + 1} @ {second:.1f} s {records[o].spans[span].mark}"
            for o, lead, second, span in zip(
                windows.owner, windows.lead, windows.second, windows.span, strict=True
            )
        ]
        predictions = Predictions(
            "windows of 4 s",
            CLASSES,
            tuple(item for item, keep in zip(items, sure, strict=True) if keep),
            tuple(records[owner].patient for owner in windows.owner[sure]),
            windows.stratum[sure],
            found[sure].astype(np.float64),
            decided[sure],
            np.ones(int(sure.sum())),
        )
        clear = told_apart(predictions, self._clear(windows)[sure], thresholds["vf"])
        called: dict[tuple[str, str], list[int]] = defaultdict(list)
        for owner, stratum, label in zip(
            windows.owner[~sure], windows.stratum[~sure], decided[~sure], strict=True
        ):
            called[records[owner].name, STRATA[stratum]].append(int(label < 2))
        apart: list[tuple[Cell, ...]] = [(*key, len(calls), sum(calls)) for key, calls in called.items()]
        note = ", ".join(f"{name} {value:.2f}" for name, value in thresholds.items())
        found_out = describe(predictions, clear, apart, [f"thresholds: {note}"])
        return replace(found_out, strips=worst_strips(records, windows, found, decided))

    def _clear(self, windows: ShockWindows) -> npt.NDArray[np.bool_]:
        """Whether a window's regularity agrees with its mark, by the recipe's limits."""
        cut = windows.signal[windows.start[:, None] + np.arange(round(WINDOW_S * ECG.rate_hz))]
        _, regularity = periods(cut[:, None], ECG.rate_hz)
        config = self.recipe.data
        is_vf, is_vt = windows.stratum == 0, windows.stratum == 1
        clear = (is_vf & (regularity <= config.regular_vf)) | (is_vt & (regularity >= config.irregular_vt))
        return np.asarray(clear, dtype=np.bool_)

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Pools the windows of all folds, each decided by its own fold's thresholds."""
        predictions, clear = (pool([part.predictions[i] for part in parts]) for i in range(2))
        apart = [row for part in parts for row in apart_rows(part)]
        pooled = describe(predictions, clear, apart, [note for part in parts for note in part.notes])
        return replace(pooled, strips=tuple(strip for part in parts for strip in part.strips))

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """ECG at the serving chain's rate and band, windows of 4 s."""
        architecture = self.recipe.architecture
        return CardFields(
            signal="ecg",
            unit="mV",
            fs_hz=ECG.rate_hz,
            band_hz=(ECG.low_hz, ECG.high_hz),
            window_s=WINDOW_S,
            step_s=architecture.front_end.stride / ECG.rate_hz,
            step_classes=(),
            window_classes=CLASSES,
            normalisation=f"fixed: asinh({architecture.input_gain:g} x) of mV after the causal band-pass",
            data=f"PhysioNet {', '.join(self.recipe.data.sources)}; noise of nstdb (bw, ma)",
            caveats=CAVEATS,
            extra={"window_label_s": WINDOW_S},
        )
