"""An EEG from its device to the page of its bed: broker, worker, dashboard's feed."""

from __future__ import annotations

import threading
import time

import msgspec
import numpy as np
import pytest

from dashboard.eeg_feed import EegSession, build_eeg_feed
from dashboard.eeg_headers import EegFeed
from dashboard.eeg_seconds import NAMES
from dashboard.feed import Feed
from dashboard.ward import Ward
from inference.worker import Worker, WorkerOptions
from ingest.electrodes import SITES_10_20 as CHANNELS
from ingest.publisher import Publisher
from ingest.settings import Settings
from ingest.types import NS_PER_S, SignalKind
from tests.browsing import until
from tests.eeg_networks import Loud, loud

SECONDS = 40


@pytest.mark.kafka
def test_samples_spectra_trends_and_the_seizure_that_a_network_marks_reach_the_page(
    kafka: Settings, plain_predictor: object
) -> None:
    start_ns = time.time_ns() // NS_PER_S * NS_PER_S - SECONDS * NS_PER_S
    steps = np.rint(10 * np.clip(loud(SECONDS, (15, 30)), -3_000, 3_000)).astype(np.int16)
    ward = Ward(history_s=600.0)
    feed = Feed(kafka, ward).start()
    worker = Worker(kafka, plain_predictor, WorkerOptions(), eeg=Loud())  # type: ignore[arg-type]
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop.is_set,))
    thread.start()
    try:
        until("the dashboard listens", lambda: ward.snapshot().connected)
        with Publisher(kafka, device="amp") as publisher:
            for second in range(SECONDS):
                publisher.publish(
                    bed="bed-01", kind="eeg", channels=CHANNELS, unit="uV", fs_hz=256.0,
                    start_ns=start_ns + second * NS_PER_S, seq=second,
                    samples=steps[256 * second : 256 * (second + 1)], gain=10.0, baseline=0,
                )  # fmt: skip
            publisher.flush(30.0)
        until("every second has its numbers", lambda: trends(ward) >= SECONDS - 3, 60)
        until("every second is judged", lambda: judged(ward) >= SECONDS - 5, 60)
        found = build_eeg_feed(ward, EegSession("v", "bed-01"))
        window = ward.window("bed-01", SignalKind.EEG, 0, 0, 600.0)
    finally:
        feed.stop()
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    header = msgspec.json.decode(found[4 : 4 + int.from_bytes(found[:4], "little")], type=EegFeed)
    assert window is not None
    np.testing.assert_allclose(window.samples, steps[-len(window.samples) :] / 10, atol=0.01)
    assert len(window.samples) >= 20 * 256
    assert header.layout is not None
    assert [len(montage.rows) for montage in header.layout] == [18, 19, 19]
    assert header.spectrum is not None
    assert header.spectrum.count >= 4
    assert header.trends is not None
    assert header.trends.names == NAMES
    assert header.marks is not None
    (span,) = header.marks.spans
    assert span.label == "seizure"
    assert span.start_s - start_ns / NS_PER_S == pytest.approx(15, abs=3)
    assert span.end_s - start_ns / NS_PER_S == pytest.approx(31, abs=8)


def trends(ward: Ward) -> int:
    found = ward.eeg_seconds("bed-01", 0, 0)
    return len(found.times_s) if found else 0


def judged(ward: Ward) -> int:
    found = ward.eeg_marks("bed-01", 0, 0)
    return len(found.steps) if found else 0
