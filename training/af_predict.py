"""What an AF network says of windows of leads, and of whole recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from models.cnn_lstm import CnnLstm
from training.af_beats import FS_HZ, FloatArray, IntArray, WideFloatArray, cut, steps_of, to_batch
from training.af_records import Lead

SHIFT_S: Final = 15.0
"""Longest distance between two windows of one recording that are averaged."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Windows of leads. Arrays of shape (n_windows,)."""

    lead: IntArray
    start_s: WideFloatArray
    duration_s: WideFloatArray


def whole(leads: Sequence[Lead], window_s: float) -> Spans:
    """Windows that cover each lead: one where it is short, else evenly placed ones of ``window_s``."""
    lead, start, duration = [], [], []
    for i, one in enumerate(leads):
        spare_s = one.duration_s - window_s
        n = 1 if spare_s <= 0 else int(np.ceil(spare_s / SHIFT_S)) + 1
        lead += [i] * n
        start += np.linspace(0.0, max(0.0, spare_s), n).tolist()
        duration += [min(window_s, one.duration_s)] * n
    return Spans(np.array(lead, dtype=np.int64), np.array(start), np.array(duration))


def sliding(lead: Lead, window_s: float, hop_s: float) -> Spans:
    """Windows of a stream, one a hop."""
    start = np.arange(0.0, lead.duration_s - window_s + 1e-9, hop_s)
    return Spans(np.zeros(len(start), dtype=np.int64), start, np.full(len(start), window_s))


def rows_of(leads: Sequence[Lead], spans: Spans) -> FloatArray:
    """Input of the network for windows, (n_windows, T, WIDTH)."""
    times, probabilities = [], []
    for i, start, duration in zip(
        spans.lead.tolist(), spans.start_s.tolist(), spans.duration_s.tolist(), strict=True
    ):
        first, last = np.searchsorted(leads[i].time_s, [start, start + duration])
        times.append(leads[i].time_s[first:last] - start)
        probabilities.append(leads[i].probability[first:last])
    steps = steps_of(times, probabilities, spans.duration_s)
    used = np.unique(spans.lead)
    lengths = np.array([len(leads[i].signal) for i in used.tolist()], dtype=np.int64)
    begin = np.zeros(len(leads), dtype=np.int64)
    begin[used] = np.cumsum(lengths) - lengths
    signal = np.concatenate([leads[i].signal for i in used.tolist()])
    low = begin[spans.lead] + np.round(spans.start_s * FS_HZ).astype(np.int64)
    high = low + np.round(spans.duration_s * FS_HZ).astype(np.int64)
    one = np.ones(len(steps.window))
    centre = low[steps.window] + steps.time_s * FS_HZ
    pieces = cut(signal, centre, one, low[steps.window], high[steps.window])
    return to_batch(steps, pieces, one)


def log_probabilities(model: CnnLstm, leads: Sequence[Lead], spans: Spans, batch: int = 64) -> WideFloatArray:
    """Logarithms of the classes' probabilities, (n_windows, n_classes)."""
    device = next(model.parameters()).device
    model.eval()
    found = np.zeros((len(spans.lead), model.config.window_classes))
    beats = np.array(
        [
            np.subtract(*np.searchsorted(leads[i].time_s, [start + duration, start]))
            for i, start, duration in zip(
                spans.lead.tolist(), spans.start_s.tolist(), spans.duration_s.tolist(), strict=True
            )
        ]
    )
    # Windows with about as many beats share a batch: little is filled up.
    order = np.argsort(beats, kind="stable")
    with torch.inference_mode():
        for begin in range(0, len(order), batch):
            rows = order[begin : begin + batch]
            part = Spans(spans.lead[rows], spans.start_s[rows], spans.duration_s[rows])
            x = torch.from_numpy(rows_of(leads, part)).to(device)
            found[rows] = model(x).window_logits.log_softmax(-1).double().cpu().numpy()
    return found


def record_probabilities(model: CnnLstm, leads: Sequence[Lead], window_s: float) -> WideFloatArray:
    """Probabilities of the classes for whole recordings, (n_leads, n_classes): geometric mean of windows."""
    spans = whole(leads, window_s)
    logs = log_probabilities(model, leads, spans)
    total = np.zeros((len(leads), logs.shape[1]))
    np.add.at(total, spans.lead, logs)
    total /= np.bincount(spans.lead, minlength=len(leads))[:, None]
    powers = np.exp(total - total.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
