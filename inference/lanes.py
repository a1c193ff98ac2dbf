"""Lanes: what takes batches of one size and gives what a part of a network makes of them.

:class:`EagerLane` calls torch, :class:`GraphLane` replays a CUDA graph, and
:class:`inference.openvino_lane.OpenVinoLane` calls OpenVINO. :class:`inference.gpu.BatchRunner` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import torch
from torch import Tensor

from ingest.types import FloatArray

WARM_CALLS: Final = 3
"""Calls before a graph is captured, in which cuDNN chooses its ways and allocates."""

Part = Callable[..., tuple[Tensor, ...]]
"""A part of a network on one device: tensors of as many rows to tensors of as many rows."""


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


class Compiler(Protocol):
    """Another library than torch that computes parts of networks on a CPU.

    Attributes
    ----------
    name : str
        Of the library, with its version.
    """

    name: str

    def __call__(self, part: Part, shapes: Sequence[tuple[int, ...]]) -> Callable[[int], Lane]:
        """Take a part and the shapes of one row of each input; what is returned makes a lane of a size.

        Either raises whatever it likes where it cannot.
        """


def _stage(staged: Sequence[Tensor], batch: Sequence[FloatArray]) -> int:
    """Copy a batch's rows to where it is staged; what rows are left over keep what they held."""
    for tensor, rows in zip(staged, batch, strict=True):
        tensor[: len(rows)].numpy()[:] = rows
    return len(batch[0])
