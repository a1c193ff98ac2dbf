"""The process in which a file that came from anywhere is read and analysed: bounded, and off the network."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgspec

from inference.analysis_eeg_trace import EegTrace
from inference.analysis_limits import MB, MEMORY_SETTING, AnalysisLimits
from inference.analysis_sound_trace import SoundTrace
from inference.analysis_wire import (
    FAILED,
    FINDINGS,
    PROGRESS,
    REFUSED,
    TRACES,
    Stage,
    Task,
    Traces,
    picture_of,
    trace_of,
    write_frame,
)
from inference.errors import BadUpload, UnfitModel
from ingest.types import SOUNDS, SignalKind
from models.errors import ModelError

if TYPE_CHECKING:
    from models.sounds import SoundModel

NETWORK: Final = ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto")
TOLD: Final = 0.005
"""Share of a stage after which progress is told anew."""


def bound(limits: AnalysisLimits) -> None:
    """Bound this process for good: memory, processor time, size of files; no network, no core dump."""
    memory = limits.memory_mb * MB
    for what, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, 2 * limits.time_s),
        (resource.RLIMIT_FSIZE, (limits.max_upload_mb + limits.max_unpacked_mb) * MB),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    # Beds that are watched live come first.
    os.nice(5)
    sys.addaudithook(_refuse_network)


def _refuse_network(event: str, arguments: object) -> None:
    if event in NETWORK:
        raise PermissionError(f"{event}: an analysis never uses the network")


def work(task: Task, out: IO[bytes]) -> None:
    """Read, analyse, tell.

    Raises
    ------
    BadUpload
        The recording is refused.
    """
    from inference.analysis import analyse
    from inference.analysis_read import note_files, read_upload
    from inference.analysis_sound import sound_picture

    told = Stage("", 0.0)

    def progress(name: str, share: float) -> None:
        nonlocal told
        if name != told.name or share - told.share >= TOLD:
            told = Stage(name, share)
            write_frame(out, PROGRESS, msgspec.json.encode(told))

    progress("reading", 0.0)
    files = note_files(task.files)
    opened = read_upload(task.files, task.limits, task.options, Path(task.folder))
    signals = opened.recording.signals
    networks = None
    if any(signal.kind is SignalKind.ECG for signal in signals):
        progress("loading networks", 0.0)
        import torch

        from inference.analysis_ecg import load_networks

        # Threads of one small batch wait for each other more than they work.
        torch.set_num_threads(1)
        networks = load_networks(task.models.ecg, task.models.beats)
    listeners: dict[SignalKind, SoundModel] = {}
    if any(signal.kind in SOUNDS for signal in signals):
        import torch

        from inference.sound_models import load_sounds

        torch.set_num_threads(1)
        listeners |= load_sounds(task.models.lung, task.models.heart, torch.device("cpu"))
    seizures = None
    if any(signal.kind is SignalKind.EEG for signal in signals):
        import torch

        from inference.eeg_models import load_eeg

        torch.set_num_threads(1)
        seizures = load_eeg(task.models.eeg, torch.device("cpu"))
    heard: list[SoundTrace] = []
    read: list[EegTrace] = []
    findings = analyse(
        opened,
        networks,
        progress,
        files=files,
        options=task.options,
        listeners=listeners,
        sound_traces=heard,
        seizures=seizures,
        eeg_traces=read,
    )
    pictures = [picture_of(str(one.kind), sound_picture(one)) for one in signals if one.kind in SOUNDS]
    traces = Traces([trace_of(one) for one in signals if one.kind not in SOUNDS], pictures, heard, read)
    write_frame(out, FINDINGS, msgspec.json.encode(findings))
    write_frame(out, TRACES, msgspec.msgpack.encode(traces))


def main() -> int:
    """Take a task from standard input; answer in frames on standard output."""
    # Libraries print: only frames may reach the parent.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Task)
    bound(task.limits)
    try:
        work(task, out)
    except (BadUpload, ModelError, UnfitModel) as error:
        write_frame(out, REFUSED, str(error).encode())
    except MemoryError:
        text = (
            f"needs more than {task.limits.memory_mb} MB of memory; hand in a shorter part, or raise "
            f"{MEMORY_SETTING}"
        )
        write_frame(out, REFUSED, text.encode())
    except Exception as error:
        # No traceback: it would show what the file holds.
        write_frame(out, FAILED, type(error).__name__.encode())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
