"""Parts of networks that OpenVINO computes on a CPU, in float32: what torch says, for half of the time.

A part is traced and converted once, for any number of rows, and compiled for each batch size. What is
compiled is held against torch before it is used; what cannot be converted or compiled, or says something
else, stays with torch (:class:`inference.gpu.BatchRunner`). Kept features
(:mod:`inference.feature_reader`) are torch's.

OpenVINO (Apache-2.0) is the extra ``openvino``. It comes with ``openvino_telemetry``, which tells Google
Analytics of every import and conversion unless a file in the home directory forbids it: here it is kept from
being imported, and OpenVINO takes its own stub instead, which sends nothing (:func:`library`).
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from inference.cli import OPENVINO, TORCH
from inference.errors import UnfitOption
from inference.gpu import first_line
from inference.lanes import Lane, Part
from ingest.types import BoolArray, FloatArray

logger = logging.getLogger(__name__)

EXAMPLE_ROWS: Final = 2
"""Rows of the example that a part is traced with; one row alone could be taken for none."""

CLOSE: Final = 1e-4
"""So near to what torch says, of probabilities and of features alike. Measured: 3e-6."""


def library() -> Any:
    """Import OpenVINO without its telemetry."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino
    import openvino.frontend.pytorch
    import openvino.opset14

    return openvino


@functools.cache
def _core() -> Any:
    """OpenVINO's runtime, one for the life of the process.

    It gives the thread that makes it another stack for signals. Of two that end, the one made later puts
    back the earlier one's stack, freed by then: the process would die of its next signal, be it a SIGTERM
    (2026.4.1).
    """
    return library().Core()


class OpenVino:
    """Compiles parts of networks; a :class:`inference.lanes.Compiler`.

    Parameters
    ----------
    threads : int
        Of each part.

    Attributes
    ----------
    name : str
        Of the library, with its version.
    """

    def __init__(self, threads: int) -> None:
        self._openvino = library()
        self.name = f"OpenVINO {self._openvino.__version__.split('-')[0]}"
        self._core = _core()
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # A CPU that has halves would be given them, and they change what is said.
            "INFERENCE_PRECISION_HINT": "f32",
            # Workers of one machine would all be bound to its first cores.
            "ENABLE_CPU_PINNING": False,
        }

    def __call__(self, part: Part, shapes: Sequence[tuple[int, ...]]) -> Callable[[int], Lane]:
        """Convert a part; what is returned compiles it for a batch size and compares it with torch."""
        model = self._converted(part, shapes)

        def compiled(size: int) -> Lane:
            model.reshape({nth: [size, *shape] for nth, shape in enumerate(shapes)})
            request = self._core.compile_model(model, "CPU", self._options).create_infer_request()
            lane = OpenVinoLane(self._openvino, request, size, shapes)
            _compare(part, lane, size, shapes)
            return lane

        return compiled

    def _converted(self, part: Part, shapes: Sequence[tuple[int, ...]]) -> Any:
        example = tuple(torch.zeros((EXAMPLE_ROWS, *shape)) for shape in shapes)
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            # Of booleans of shapes: these are those of all batches. And that tracing is to go some day.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            warnings.simplefilter("ignore", DeprecationWarning)
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                _Module(part), example, check_trace=False
            )
            return self._openvino.convert_model(
                traced,
                example_input=example,
                input=[(-1, *shape) for shape in shapes],
                extension=[
                    self._openvino.frontend.pytorch.ConversionExtension("aten::copysign_", self._copysign)
                ],
            )

    def _copysign(self, node: Any) -> Any:
        """Size of the first input with the sign of the second, which OpenVINO does not know by itself.

        Only zero with the sign of a zero differs, and is zero.
        """
        ops = self._openvino.opset14
        return ops.multiply(ops.abs(node.get_input(0)), ops.sign(node.get_input(1))).outputs()


class OpenVinoLane:
    """Computes batches of one size; a :class:`inference.lanes.Lane`.

    Parameters
    ----------
    openvino : module
        The library.
    request : openvino.InferRequest
        Of the part, compiled for the size.
    size, shapes
        As of :class:`inference.lanes.EagerLane`.
    """

    def __init__(self, openvino: Any, request: Any, size: int, shapes: Sequence[tuple[int, ...]]) -> None:
        self._staged = [np.zeros((size, *shape), dtype=np.float32) for shape in shapes]
        self._request = request
        for nth, staged in enumerate(self._staged):
            request.set_input_tensor(nth, openvino.Tensor(staged, shared_memory=True))
        self._made: Sequence[FloatArray] = ()
        self._rows = 0
        self._odd: BoolArray = np.zeros(0, dtype=bool)

    def start(self, batch: Sequence[FloatArray]) -> None:
        """Compute."""
        self._rows = len(batch[0])
        # Its own softmax and maxima make plausible numbers of what is none.
        self._odd = ~np.logical_and.reduce(
            [np.isfinite(rows.reshape(self._rows, -1).sum(axis=1)) for rows in batch]
        )
        for staged, rows in zip(self._staged, batch, strict=True):
            staged[: self._rows] = rows
        self._made = list(self._request.infer(share_outputs=True).values())

    def finish(self) -> tuple[FloatArray, ...]:
        """Give what was made, NaN for rows that were not finite.

        Rows are copied, for the next batch is computed over them.
        """
        said = tuple(made[: self._rows].copy() for made in self._made)
        if self._odd.any():
            for made in said:
                made[self._odd] = np.nan
        return said


class _Module(nn.Module):
    """A part, as torch traces it."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self._part = part

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Call it."""
        return self._part(*inputs)


def _compare(part: Part, lane: Lane, size: int, shapes: Sequence[tuple[int, ...]]) -> None:
    """Hold a lane against torch, on noise.

    Raises
    ------
    ArithmeticError
        It says something else.
    """
    random = np.random.default_rng(size)
    batch = [random.normal(0, 1, (size, *shape)).astype(np.float32) for shape in shapes]
    lane.start(batch)
    for said, expected in zip(lane.finish(), part(*map(torch.from_numpy, batch)), strict=True):
        if not np.allclose(said, expected.numpy(), rtol=CLOSE, atol=CLOSE):
            raise ArithmeticError(
                f"batches of {size}: up to {np.abs(said - expected.numpy()).max():.2g} off from torch"
            )


def compiler_for(backend: str, device: torch.device) -> OpenVino | None:
    """Choose what computes the networks of the ECG.

    Parameters
    ----------
    backend : str
        One of :data:`inference.cli.BACKENDS`.
    device : torch.device
        Where they are to be computed.

    Returns
    -------
    OpenVino or None
        ``None``: torch.

    Raises
    ------
    UnfitOption
        OpenVINO is asked for by name where it cannot be: not installed, or not for the CPU.
    """
    installed = importlib.util.find_spec("openvino") is not None
    if backend == OPENVINO and device.type != "cpu":
        raise UnfitOption(f"--backend openvino with --device {device}: it is for the CPU; add --device cpu")
    if backend == OPENVINO and not installed:
        raise UnfitOption(
            "--backend openvino: OpenVINO is not installed; "
            "pip install 'wardwave[openvino]', or give --backend torch"
        )
    if backend == TORCH or device.type != "cpu" or not installed:
        return None
    try:
        return OpenVino(torch.get_num_threads())
    except Exception as error:  # A ward is not left unwatched for a library that is damaged.
        logger.warning(
            "OpenVINO cannot be used (%s); torch computes instead, the same but more slowly",
            first_line(error),
        )
        return None
