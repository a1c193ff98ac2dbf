"""A function of a network over batches of fixed sizes on one device, and on the CPU when the device fails.

On a GPU each size has two lanes: page-locked memory that a batch is staged in, tensors that stay where they
are, a CUDA graph captured over them and a stream of its own. Copies are asynchronous, so that one lane's
transfers run beside the other's arithmetic, and a batch costs one launch instead of some hundred. On a CPU
the same runner calls the function on the staged batch: what is tested there is what runs on a GPU, without
graph and copies.

A GPU that is out of memory or lost (after an error of CUDA the process cannot use it any more) stops no
worker: the batch in hand is computed again on the CPU, from its inputs, and so is all that follows.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from ingest.types import FloatArray

logger = logging.getLogger(__name__)

GPU_SIZES: Final = (16, 64, 256, 1024)
"""Batch sizes on a GPU; a graph is captured for each. The largest fills an H200 class device."""

LANES: Final = 2
"""Batches under way at once: one is copied while the other is computed."""

WARM_CALLS: Final = 3
"""Calls before a graph is captured, in which cuDNN chooses its ways and allocates."""

PRECISIONS: Final = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}

Part = Callable[..., tuple[Tensor, ...]]
"""A part of a network on one device: tensors of as many rows to tensors of as many rows."""

CPU: Final = torch.device("cpu")

_SIGNS: Final = ("CUDA error", "CUDA out of memory", "cuDNN error", "CUBLAS_STATUS", "CUDNN_STATUS", "NVIDIA")


def is_device_error(error: BaseException) -> bool:
    """Whether a GPU failed or is full, rather than the arithmetic being wrong."""
    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class Lane(Protocol):
    """Takes a batch and gives what was made of it."""

    def start(self, batch: Sequence[FloatArray]) -> None:
        """Begin on at most as many rows as the lane's size."""

    def finish(self) -> tuple[FloatArray, ...]:
        """Wait for what was begun last, and give its rows."""


class EagerLane:
    """Calls the part where its inputs lie.

    Parameters
    ----------
    part : callable
        On the CPU.
    size : int
        Rows of a batch; what is missing is filled up.
    shapes : sequence of tuple of int
        Of one row of each input.
    """

    def __init__(self, part: Part, size: int, shapes: Sequence[tuple[int, ...]]) -> None:
        self._part = part
        self._staged = [torch.zeros((size, *shape)) for shape in shapes]
        self._made: tuple[Tensor, ...] = ()
        self._rows = 0

    def start(self, batch: Sequence[FloatArray]) -> None:
        """Compute."""
        self._rows = _stage(self._staged, batch)
        self._made = self._part(*self._staged)

    def finish(self) -> tuple[FloatArray, ...]:
        """Give what was made."""
        return tuple(made[: self._rows].numpy() for made in self._made)


class GraphLane:
    """Replays a CUDA graph of the part on a stream of its own.

    Parameters
    ----------
    part, size, shapes
        As of :class:`EagerLane`, on ``device``.
    device : torch.device
        A GPU.
    """

    def __init__(
        self, part: Part, size: int, shapes: Sequence[tuple[int, ...]], device: torch.device
    ) -> None:
        self._staged = [torch.zeros((size, *shape)).pin_memory() for shape in shapes]
        self._inputs = [staged.to(device) for staged in self._staged]
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._rows = 0
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_CALLS):
                part(*self._inputs)
        self._stream.synchronize()
        # A pool of its own: graphs that share one must not run beside each other.
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._made = part(*self._inputs)
        self._said = [torch.empty(made.shape).pin_memory() for made in self._made]

    def start(self, batch: Sequence[FloatArray]) -> None:
        """Stage the batch and leave the rest to the stream."""
        self._rows = _stage(self._staged, batch)
        with torch.cuda.stream(self._stream):
            for there, staged in zip(self._inputs, self._staged, strict=True):
                there.copy_(staged, non_blocking=True)
            self._graph.replay()
            for said, made in zip(self._said, self._made, strict=True):
                said.copy_(made, non_blocking=True)
            self._done.record()

    def finish(self) -> tuple[FloatArray, ...]:
        """Wait for the stream; rows are copied, for the next batch is staged over them."""
        self._done.synchronize()
        return tuple(said[: self._rows].numpy().copy() for said in self._said)


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
    ) -> None:
        self._make, self._shapes, self._precision = make, tuple(shapes), precision
        self._cpu_sizes = cpu_sizes
        self.lost: str | None = None
        self.device = device
        self._lanes: dict[int, list[Lane]] = {}
        self._guarded(lambda: self._prepare(device, sizes))

    def __call__(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Run; rows in, as many rows out."""
        made: list[tuple[FloatArray, ...]] = []
        if not self._guarded(lambda: made.extend(self._run(inputs))):
            made = list(self._run(inputs))
        return tuple(np.concatenate(rows) for rows in zip(*made, strict=True))

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Do it; False if the device failed at it, and the CPU is to do it from now on."""
        try:
            work()
        except RuntimeError as error:
            if self.device == CPU or not is_device_error(error):
                raise
            self._fall_back(error)
            return False
        return True

    def _fall_back(self, error: RuntimeError) -> None:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        logger.error(
            "GPU lost or out of memory: %s fails (%s); networks compute on the CPU from now on, more slowly; "
            "restart the worker to use it again",
            self.device,
            reason,
        )
        self.lost = f"{self.device}: {reason}"
        self._prepare(CPU, self._cpu_sizes)

    def _prepare(self, device: torch.device, sizes: tuple[int, ...]) -> None:
        """Build the part and its lanes, and let each compute once: not when the first alarm waits for it."""
        self.device, self._lanes = device, {}
        part = self._in_precision(self._make(device), device)
        with torch.inference_mode():
            for size in sizes:
                self._lanes[size] = self._lanes_of(part, size)
                for lane in self._lanes[size]:
                    lane.start([np.zeros((size, *shape), dtype=np.float32) for shape in self._shapes])
                    lane.finish()

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


def _stage(staged: Sequence[Tensor], batch: Sequence[FloatArray]) -> int:
    """Copy a batch's rows to where it is staged; what rows are left over keep what they held."""
    for tensor, rows in zip(staged, batch, strict=True):
        tensor[: len(rows)].numpy()[:] = rows
    return len(batch[0])
