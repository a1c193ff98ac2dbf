"""What a user would build instead of ``wardwave infer``: quixstreams, neurokit2's cleaning, the same network.

A member of a consumer group: each chunk of a bed is appended to its last 8 s (quixstreams' own state), which
are cleaned (``ecg_clean``), halved in rate and given to the network, one window a second and bed; what it
says goes out as JSON. The same decoder as ours. It does less than a worker: no beats' classes, no quality,
no alarms, no gaps. Runs in ``.venv-peers``: ``python peers_quix.py ADDRESS TOPIC OUT PARTITIONS STATS``.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from pathlib import Path

import neurokit2
import numpy as np
import torch
from quixstreams import Application, State
from quixstreams.models import TopicConfig
from scipy import signal

from ingest import wire
from models import store

FS_HZ = 250
WINDOW = 8 * FS_HZ
MODEL = "ecg-cnn-lstm-1"


class Counts:
    """What was done so far, in a file each half second, as ``wardwave infer --stats`` has it."""

    def __init__(self, path: Path) -> None:
        self.chunks = self.windows = 0
        self._path = path
        threading.Thread(target=self._write, daemon=True).start()

    def _write(self) -> None:
        part = self._path.with_suffix(".part")
        while True:
            figures = {"chunks_in": self.chunks, "windows": self.windows, "cpu_s": time.process_time()}
            part.write_text(json.dumps(figures))
            part.replace(self._path)
            time.sleep(0.5)


def main() -> None:
    """Work until SIGTERM."""
    address, topic, out, partitions, stats = sys.argv[1:6]
    # One thread a process: there are two processes on two cores.
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    network, _ = store.load(MODEL)
    app = Application(
        broker_address=address,
        consumer_group="peer",
        auto_offset_reset="earliest",
        use_changelog_topics=False,
        # Tansu holds a group's join open for as long as a session may last.
        consumer_extra_config={"session.timeout.ms": 6000, "heartbeat.interval.ms": 2000},
        state_dir=Path(stats).with_suffix(".state"),
        loglevel="CRITICAL",
    )
    config = TopicConfig(int(partitions), 1, {"retention.ms": "3600000"})
    raw = app.topic(topic, value_deserializer="bytes", key_deserializer="str", config=config)
    said = app.topic(out, value_serializer="json", key_serializer="str", config=config)
    counts = Counts(Path(stats))

    def step(value: bytes, state: State) -> dict[str, object] | None:
        chunk = wire.decode(value, wire.AVRO)
        counts.chunks += 1
        lead = np.ascontiguousarray(chunk.samples[:, 0], dtype=np.float32)
        held = np.concatenate([np.frombuffer(state.get_bytes("lead", b""), dtype=np.float32), lead])[-WINDOW:]
        state.set_bytes("lead", held.tobytes())
        if len(held) < WINDOW:
            return None
        cleaned = signal.resample_poly(neurokit2.ecg_clean(held, sampling_rate=FS_HZ), 1, 2)
        with torch.inference_mode():
            output = network(torch.from_numpy(cleaned.astype(np.float32))[None, None])
            rhythms = output.window_logits[0].softmax(-1).tolist()
            steps = output.step_logits[0].softmax(-1).numpy()
        counts.windows += 1
        end_ns = chunk.start_ns + round(len(lead) / FS_HZ * 1e9)
        # As a worker does: what is new in the last second.
        return {
            "bed": chunk.bed,
            "end_ns": end_ns,
            "rhythms": rhythms,
            "beats": int((steps[-16:, 0] < 0.5).sum()),
        }

    stream = app.dataframe(raw).apply(step, stateful=True)
    stream = stream[stream.apply(lambda value: value is not None)]
    stream.to_topic(said)
    app.run()


if __name__ == "__main__":
    main()
