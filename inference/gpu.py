"""A function of a network over batches of fixed sizes on one device, and on the CPU when the device fails.

On a GPU each size has two lanes: page-locked memory that a batch is staged in, tensors that stay where they
are, a CUDA graph captured over them and a stream of its own. Copies are asynchronous, so that one lane's
transfers run beside the other's arithmetic, and a batch costs one launch instead of some hundred. On a CPU
the same runner calls the function on the staged batch: what is tested there is what runs on a GPU, without
graph and copies. There another library may compute instead of torch (:mod:`inference.openvino_lane`).

A GPU that is out of memory or lost (after an error of CUDA the process cannot use it any more) stops no
worker: the batch in hand is computed again on the CPU, from its inputs, and so is all that follows. A library
that fails stops none either: torch goes on.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from inference.lanes import Compiler, EagerLane, GraphLane, Lane, Part
from ingest.types import FloatArray

logger = logging.getLogger(__name__)

GPU_SIZES: Final = (16, 64, 256, 1024)
"""Batch sizes on a GPU; a graph is captured for each. The largest fills an H200 class device."""

LANES: Final = 2
"""Batches under way at once: one is copied while the other is computed."""

PRECISIONS: Final = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}

CPU: Final = torch.device("cpu")

_SIGNS: Final = (
    "CUDA error",
    "CUDA out of memory",
    "CUDA driver",
    "CUDA unknown error",
    "CUDA-capable device",
    "No CUDA GPUs are available",
    "not compiled with CUDA",
    "cuDNN error",
    "cuFFT error",
    "cusolver error",
    "CUBLAS_STATUS",
    "CUDNN_STATUS",
    "CUFFT_",
    "CUSOLVER_STATUS",
    "NVIDIA",
)

FAULTS: Final = (RuntimeError, AssertionError)
"""What torch raises where a GPU fails; the second where it was built for the CPU alone."""


def is_device_error(error: BaseException) -> bool:
    """Whether a GPU failed, is full or is not there, rather than the arithmetic being wrong."""
    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, FAULTS) and any(sign in str(error) for sign in _SIGNS)


class BatchRunner:
    """Runs a part of a network over any number of rows.

    Parameters
    ----------
    make : callable
        Builds the part for a device: from weights that lie on the CPU, where they are still to be had when
        the device is lost.
    shapes : sequence of tuple of int
        Of one row of each input.
    device : torch.device
        Where to compute.
    sizes : tuple of int
        Batch sizes, ascending.
    cpu_sizes : tuple of int
        The same once the CPU has to do it.
    precision : torch.dtype or None
        Computes in this where that is safe (torch's autocast); None: in float32.
    compiler : Compiler or None
        Computes instead of torch while the device is the CPU, and in float32.

    Attributes
    ----------
    device : torch.device
        Where it computes now.
    lost : str or None
        Why it no longer computes where it was told to.
    """

    def __init__(
        self,
        make: Callable[[torch.device], Part],
        shapes: Sequence[tuple[int, ...]],
        device: torch.device,
        sizes: tuple[int, ...],
        cpu_sizes: tuple[int, ...],
        precision: torch.dtype | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        self._make, self._shapes, self._precision = make, tuple(shapes), precision
        self._cpu_sizes = cpu_sizes
        self._compiler = compiler if precision is None else None
        self.lost: str | None = None
        self.device = device
        self._lanes: dict[int, list[Lane]] = {}
        self._nothing: tuple[FloatArray, ...] = ()
        self._guarded(lambda: self._prepare(device, sizes))

    def __call__(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Run; rows in, as many rows out."""
        if not len(inputs[0]):
            return self._nothing
        made: list[tuple[FloatArray, ...]] = []
        if not self._guarded(lambda: made.extend(self._run(inputs))):
            made = list(self._run(inputs))
        return tuple(np.concatenate(rows) for rows in zip(*made, strict=True))

    @property
    def where(self) -> str:
        """Where it computes now, and by which library if not by torch, for people to read."""
        return f"{self.device} ({self._compiler.name})" if self._compiler else str(self.device)

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Do it; False if device or library failed at it, and the CPU or torch is to do it from now on."""
        try:
            work()
        except FAULTS as error:
            if self._compiler is not None:
                self._leave_compiler(error)
                self._prepare(self.device, tuple(self._lanes))
                return False
            if self.device == CPU or not is_device_error(error):
                raise
            self._fall_back(error)
            return False
        return True

    def _fall_back(self, error: Exception) -> None:
        reason = first_line(error)
        logger.error(
            "GPU lost or out of memory: %s fails (%s); networks compute on the CPU from now on, more slowly; "
            "restart the worker to use it again",
            self.device,
            reason,
        )
        self.lost = f"{self.device}: {reason}"
        # Halves of a CPU change what is said more than those of a GPU, and save little.
        self._precision = None
        self._prepare(CPU, self._cpu_sizes)

    def _leave_compiler(self, error: Exception) -> None:
        assert self._compiler is not None
        logger.warning(
            "%s fails (%s); torch computes this part of the networks from now on, the same but more slowly",
            self._compiler.name,
            first_line(error),
        )
        self._compiler = None

    def _prepare(self, device: torch.device, sizes: tuple[int, ...]) -> None:
        """Build the part and its lanes, and let each compute once: not when the first alarm waits for it."""
        self.device, self._lanes = device, {}
        part = self._in_precision(self._make(device), device)
        with torch.inference_mode():
            self._lanes = self._compiled(part, sizes) or {size: self._lanes_of(part, size) for size in sizes}
            for size, lanes in self._lanes.items():
                for lane in lanes:
                    lane.start([np.zeros((size, *shape), dtype=np.float32) for shape in self._shapes])
                    self._nothing = tuple(made[:0].copy() for made in lane.finish())

    def _compiled(self, part: Part, sizes: tuple[int, ...]) -> dict[int, list[Lane]]:
        """Lanes of the other library; none if there is none or it fails."""
        if self._compiler is None:
            return {}
        try:
            lane_of = self._compiler(part, self._shapes)
            return {size: [lane_of(size)] for size in sizes}
        except Exception as error:  # Whatever it is, beds are to be watched.
            self._leave_compiler(error)
            return {}

    def _lanes_of(self, part: Part, size: int) -> list[Lane]:
        if self.device.type == "cuda":
            return [GraphLane(part, size, self._shapes, self.device) for _ in range(LANES)]
        return [EagerLane(part, size, self._shapes)]

    def _in_precision(self, part: Part, device: torch.device) -> Part:
        if self._precision is None:
            return part
        # Cached casts of weights would be of a graph's memory.
        cast = torch.autocast(device.type, dtype=self._precision, cache_enabled=False)

        def cast_part(*inputs: Tensor) -> tuple[Tensor, ...]:
            with cast:
                made = part(*inputs)
            return tuple(tensor.float() for tensor in made)

        return cast_part

    def _run(self, inputs: Sequence[FloatArray]) -> list[tuple[FloatArray, ...]]:
        """Batches, as many under way as there are lanes."""
        sizes = sorted(self._lanes)
        under_way: deque[Lane] = deque()
        made = []
        on_device = torch.cuda.device(self.device) if self.device.type == "cuda" else contextlib.nullcontext()
        with torch.inference_mode(), on_device:
            for nth, begin in enumerate(range(0, len(inputs[0]), sizes[-1])):
                batch = [rows[begin : begin + sizes[-1]] for rows in inputs]
                lanes = self._lanes[next(size for size in sizes if size >= len(batch[0]))]
                if len(under_way) == len(lanes):
                    made.append(under_way.popleft().finish())
                lane = lanes[nth % len(lanes)]
                lane.start(batch)
                under_way.append(lane)
            made.extend(lane.finish() for lane in under_way)
        return made


def first_line(error: Exception) -> str:
    """What an error says, shortly."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
