"""Analyses in child processes: at most so many at once, the rest in a queue; each can be stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from inference.analysis_findings import Findings
from inference.analysis_gone import GoneWatch
from inference.analysis_limits import MB, MEMORY_SETTING, TIME_SETTING, AnalysisLimits
from inference.analysis_read import ReadOptions
from inference.analysis_room import FOLDER, memory_folder, sweep, too_small
from inference.analysis_unpack import Upload
from inference.analysis_wire import (
    DEFAULT_MODELS,
    FAILED,
    FINDINGS,
    PROGRESS,
    REFUSED,
    TRACES,
    Models,
    Stage,
    Task,
    Traces,
    read_frame,
)
from inference.errors import AnalysisStopped, BadUpload, InferenceError
from ingest.processes import die_with

logger = logging.getLogger(__name__)

ROOT: Final = Path(__file__).resolve().parent.parent
WAITING: Final = Stage("waiting", 0.0)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an analysis."""

    findings: Findings
    traces: Traces


class Analysis:
    """One analysis, by a thread of its own that lives as long as the child process.

    Parameters
    ----------
    files : sequence of Upload
        Forgotten as soon as the child has them.
    options : ReadOptions
        What the files do not say.
    limits : AnalysisLimits
        Bounds.
    turn : threading.Semaphore
        Taken while the child runs.
    models : Models
        The networks.
    """

    def __init__(
        self,
        files: Sequence[Upload],
        options: ReadOptions,
        limits: AnalysisLimits,
        turn: threading.Semaphore,
        models: Models = DEFAULT_MODELS,
    ) -> None:
        self.stage = WAITING
        self.result: Result | None = None
        self.problem: InferenceError | None = None
        self._files: list[Upload] = list(files)
        self._options, self._limits, self._models = options, limits, models
        self._turn = turn
        self._cancelled, self._late = threading.Event(), threading.Event()
        self._cause = "cancelled"
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="analysis", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> bool:
        """Whether others come first."""
        return not self.done and self.stage is WAITING

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return not self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def cancel(self, why: str = "cancelled") -> None:
        """Stop it at once; no effect once it has ended."""
        self._cause = why
        self._cancelled.set()
        self._kill()

    def _kill(self) -> None:
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.kill()

    def _expire(self) -> None:
        self._late.set()
        self._kill()

    def _run(self) -> None:
        try:
            while not self._turn.acquire(timeout=0.2):
                if self._cancelled.is_set():
                    raise AnalysisStopped(self._cause)
            try:
                self.result = self._in_child()
            finally:
                self._turn.release()
        except InferenceError as error:
            self.problem = error
        except OSError as error:
            where = memory_folder() or tempfile.gettempdir()
            self.problem = AnalysisStopped(f"the analysis could not be started in {where}: {error.strerror}")
        finally:
            self._files = []

    def _in_child(self) -> Result:
        with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-", dir=memory_folder()) as folder:
            task = Task(self._files, self._options, self._limits, folder, self._models)
            timer = threading.Timer(self._limits.time_s, self._expire)
            timer.daemon = True
            with _start() as child:
                with self._lock:
                    self._child = child
                timer.start()
                try:
                    if self._cancelled.is_set():
                        raise AnalysisStopped(self._cause)
                    return self._talk(child, task)
                finally:
                    timer.cancel()
                    self._kill()

    def _talk(self, child: subprocess.Popen[bytes], task: Task) -> Result:
        assert child.stdin is not None
        assert child.stdout is not None
        self.stage = Stage("starting", 0.0)
        with contextlib.suppress(BrokenPipeError), child.stdin as target:
            target.write(msgspec.msgpack.encode(task))
        self._files = []
        findings: Findings | None = None
        while (frame := read_frame(child.stdout)) is not None:
            kind, payload = frame
            if kind == PROGRESS:
                self.stage = msgspec.json.decode(payload, type=Stage)
            elif kind == REFUSED:
                raise BadUpload(payload.decode(errors="replace"))
            elif kind == FAILED:
                raise AnalysisStopped(
                    f"the analysis failed ({payload.decode(errors='replace')}): a fault of Wardwave, "
                    "not yours; please report it with the kind of file"
                )
            elif kind == FINDINGS:
                findings = msgspec.json.decode(payload, type=Findings)
            elif kind == TRACES and findings is not None:
                return Result(findings, msgspec.msgpack.decode(payload, type=Traces))
        raise self._why(child)

    def _why(self, child: subprocess.Popen[bytes]) -> AnalysisStopped:
        if self._cancelled.is_set():
            return AnalysisStopped(self._cause)
        if self._late.is_set():
            return AnalysisStopped(
                f"not done after {self._limits.time_s} s; hand in a shorter part, or raise {TIME_SETTING}"
            )
        status = child.wait()
        return AnalysisStopped(
            f"the analysis ended before its time (status {status}): out of memory "
            f"({self._limits.memory_mb} MB) or processor time; hand in a shorter part, "
            f"or raise {MEMORY_SETTING} or {TIME_SETTING}"
        )


def _start() -> subprocess.Popen[bytes]:
    parent = os.getpid()
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "inference.analysis_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # Not this process's environment: it holds keys, and the child reads strangers' files.
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "HOME": "/nonexistent",
        },
        start_new_session=True,
        preexec_fn=lambda: die_with(parent),  # noqa: PLW1509
    )


class AnalysisDesk:
    """Takes analyses in turn.

    Parameters
    ----------
    limits : AnalysisLimits
        Of each.
    at_once : int
        Child processes at the same time.
    most : int
        That may run and wait; more are refused.
    """

    def __init__(self, limits: AnalysisLimits, at_once: int = 1, most: int = 8) -> None:
        self.limits = limits
        self._turn = threading.Semaphore(at_once)
        self._most = most
        self._lock = threading.Lock()
        self._open: list[Analysis] = []
        self._gone = GoneWatch()
        if (said := too_small(limits.max_unpacked_mb * MB)) is not None:
            logger.warning("analyses: %s", said)
        sweep()

    def submit(
        self, files: Sequence[Upload], options: ReadOptions, here: Callable[[], bool] | None = None
    ) -> Analysis:
        """Begin, or queue, an analysis.

        Parameters
        ----------
        files, options
            What to analyse.
        here
            Whether who handed it in is still there (:mod:`inference.analysis_gone`); None: it is waited for.

        Raises
        ------
        BadUpload
            Too many wait already.
        """
        with self._lock:
            self._open = [one for one in self._open if not one.done]
            if len(self._open) >= self._most:
                raise BadUpload(f"{len(self._open)} recordings wait already; try again in some minutes")
            analysis = Analysis(files, options, self.limits, self._turn)
            self._open.append(analysis)
        if here is not None:
            self._gone.watch(analysis, here)
        return analysis

    def ahead_of(self, analysis: Analysis) -> int:
        """How many come before one that waits."""
        with self._lock:
            before = self._open[: self._open.index(analysis)] if analysis in self._open else []
            return sum(not one.done for one in before)


def run_alone(
    files: Sequence[Upload],
    options: ReadOptions,
    limits: AnalysisLimits,
    models: Models,
    on_stage: Callable[[Stage], None],
    every_s: float = 0.2,
) -> Result:
    """Analyse and wait for it.

    Raises
    ------
    BadUpload
        The recording is refused.
    AnalysisStopped
        It did not come to its end.
    """
    sweep()
    analysis = Analysis(files, options, limits, threading.Semaphore(1), models)
    try:
        while not analysis.done:
            analysis.wait(every_s)
            on_stage(analysis.stage)
    except BaseException:
        analysis.cancel()
        analysis.wait()
        raise
    if analysis.result is None:
        raise analysis.problem or AnalysisStopped("the analysis ended without a result")
    return analysis.result
