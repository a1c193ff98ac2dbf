"""Parts of other libraries, in ``.venv-peers``: ``python peers_parts.py filters|crnn FILE``.

``FILE`` is an ``.npz`` with the inputs. Prints one JSON line with CPU times; what the filters make is written
beside it, to be compared.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import torch

warnings.simplefilter("ignore")


def cpu_us(work: Callable[[], object], rounds: int) -> float:
    """Least CPU time of a call, µs."""
    work()
    least = float("inf")
    for _ in range(rounds):
        began_s = time.process_time()
        work()
        least = min(least, time.process_time() - began_s)
    return least * 1e6


def filters(path: Path) -> dict[str, float]:
    """timeflux's IIR filter: a node and a data frame for each bed, chunk after chunk."""
    from timeflux_dsp.nodes.filters import IIRFilter

    given = np.load(path)
    samples, sos, fs_hz = given["samples"], given["sos"], float(given["fs_hz"])
    beds, seconds = samples.shape[:2]
    nodes = [IIRFilter(rate=fs_hz, sos=sos) for _ in range(beds)]
    made = np.empty_like(samples)
    spent_s = []
    for second in range(seconds):
        frames = [pd.DataFrame(samples[bed, second].T, columns=["II", "V1"]) for bed in range(beds)]
        began_s = time.process_time()
        for bed, (node, frame) in enumerate(zip(nodes, frames, strict=True)):
            node.i.data, node.i.meta = frame, {"rate": fs_hz}
            node.update()
            made[bed, second] = node.o.data.to_numpy().T
        spent_s.append(time.process_time() - began_s)
    np.save(path.with_suffix(".timeflux.npy"), made)
    return {"us_per_bed_second": min(spent_s) / beds * 1e6}


def crnn(path: Path) -> dict[str, float]:
    """torch_ecg's CRNN, built to our network's number of parameters, on one thread."""
    from torch.utils.flop_counter import FlopCounterMode
    from torch_ecg.model_configs import ECG_CRNN_CONFIG
    from torch_ecg.models import ECG_CRNN

    torch.set_num_threads(1)
    config = deepcopy(ECG_CRNN_CONFIG)
    config.fs = 125
    config.cnn.name = "resnet_nature_comm"
    cnn = config.cnn.resnet_nature_comm
    cnn.fs, cnn.num_filters, cnn.subsample_lengths = 125, [16, 24, 32, 40], [2, 2, 2, 2]
    cnn.stem.num_filters = 12
    config.rnn.name, config.rnn.lstm.hidden_sizes = "lstm", [32]
    config.attn.name, config.clf.out_channels = "none", []
    model = ECG_CRNN(["vf", "vt", "asystole", "af", "noise", "other"], n_leads=1, config=config).eval()
    figures: dict[str, float] = {"parameters": sum(p.numel() for p in model.parameters())}
    windows = torch.from_numpy(np.load(path)["windows"])[:, None]
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            model(windows[:1])
        figures["convolution_mflop"] = counter.get_total_flops() / 1e6
        for size in (1, 64):
            took_us = cpu_us(lambda size=size: model(windows[:size]), 12)
            figures[f"us_a_window_of_{size}"] = took_us / size
    return figures


if __name__ == "__main__":
    work = {"filters": filters, "crnn": crnn}[sys.argv[1]]
    sys.stdout.write(json.dumps(work(Path(sys.argv[2]))))
