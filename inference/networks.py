"""The networks of a worker: it needs that of the ECG; without one of the others the rest is watched.

Signals that nobody judges for want of a network raise the technical alarm ``model_unavailable``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from inference.beat_predictor import BeatPredictor
from inference.cli import AUTO, FLOAT32, NO_MODEL
from inference.eeg_models import load_eeg
from inference.errors import UnfitModel, UnfitOption
from inference.fallback import SteadyEeg, SteadySounds
from inference.lanes import Compiler
from inference.openvino_lane import compiler_for
from inference.predictor import Predictor, pick_device
from inference.sound_models import load_sounds
from ingest.types import SignalKind
from models.errors import ModelError

logger = logging.getLogger(__name__)

AGAIN_S: Final = 30.0
"""What is lacking is looked for again after so long."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which networks: shipped names or paths of cards, "none" for no network, ``None`` for the shipped.

    ``backend`` and ``precision`` say what computes those of the ECG, and in what: as options of
    ``wardwave infer``.
    """

    model: str
    beats: str = NO_MODEL
    lung: str | None = None
    heart: str | None = None
    eeg: str | None = None
    device: str | None = None
    keep_features: bool = False
    backend: str = AUTO
    precision: str = FLOAT32


Network = Predictor | BeatPredictor | SteadySounds | SteadyEeg


@dataclass(slots=True)
class Networks:
    """What was loaded, and what is ``lacking`` with the reason; ``compiler`` computes those of the ECG."""

    ecg: Predictor
    compiler: Compiler | None = None
    beats: BeatPredictor | None = None
    sounds: dict[SignalKind, SteadySounds] = field(default_factory=dict)
    eeg: SteadyEeg | None = None
    lacking: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Network]:
        yield self.ecg
        yield from (one for one in (self.beats, *self.sounds.values(), self.eeg) if one is not None)

    def fallen_back(self) -> dict[str, str]:
        """Those that compute on the CPU because their GPU failed, and its fault."""
        return {one.spec.name: one.lost for one in self if one.lost is not None}


def load_networks(wanted: Wanted) -> Networks:
    """Load what can be loaded; say what cannot.

    Raises
    ------
    ModelError, UnfitModel
        The ECG's network cannot be used: says why.
    UnfitOption
        What is to compute it cannot.
    """
    intended = pick_device(wanted.device)
    if wanted.precision != FLOAT32 and intended.type == "cpu":
        raise UnfitOption(
            f"--precision {wanted.precision} on a CPU: halves change what is said there and save little "
            "(docs/performance.md); give --precision float32, or --device cuda where there is one"
        )
    compiler = compiler_for(wanted.backend, intended)
    found = Networks(
        Predictor(
            wanted.model,
            wanted.device,
            running=wanted.keep_features,
            precision=wanted.precision,
            compiler=compiler,
        ),
        compiler,
    )
    for name, load in _loaders(wanted, found).items():
        _try(name, load, found.lacking)
    for name, why in found.lacking.items():
        logger.error(
            "no network for %s, the rest is watched without it, looked for again every %g s: %s",
            name, AGAIN_S, why,
        )  # fmt: skip
    return found


def _loaders(wanted: Wanted, found: Networks) -> dict[str, Callable[[], None]]:
    """What puts each optional network in its place, by the name that a user knows."""
    device = found.ecg.device

    def beats() -> None:
        if wanted.beats != NO_MODEL:
            found.beats = BeatPredictor(wanted.beats, wanted.device, compiler=found.compiler)

    def lung() -> None:
        # Another dictionary: a worker has the one there was.
        found.sounds = found.sounds | load_sounds(wanted.lung, NO_MODEL, device)

    def heart() -> None:
        found.sounds = found.sounds | load_sounds(NO_MODEL, wanted.heart, device)

    def eeg() -> None:
        found.eeg = load_eeg(wanted.eeg, device)

    return {"beats": beats, "lung sounds": lung, "heart sounds": heart, "the EEG": eeg}


def _try(name: str, load: Callable[[], None], lacking: dict[str, str]) -> None:
    try:
        load()
    # A file that is there and cannot be read is as good as none.
    except (ModelError, UnfitModel, OSError) as error:
        lacking[name] = str(error)


class Return:
    """Loads what was lacking once it can be, and tells so; asked as often as one likes.

    Parameters
    ----------
    wanted : Wanted
        Which networks.
    found : Networks
        What was loaded of them; takes what comes back.
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, wanted: Wanted, found: Networks, clock: Callable[[], float] = time.monotonic) -> None:
        self._wanted, self._found, self._clock = wanted, found, clock
        self._due_s = clock() + AGAIN_S
        self._back = False

    def __call__(self) -> bool:
        """Whether a worker with more networks could be started now."""
        if self._back or not self._found.lacking or self._clock() < self._due_s:
            return self._back
        self._due_s = self._clock() + AGAIN_S
        still = dict[str, str]()
        loaders = _loaders(self._wanted, self._found)
        for name in self._found.lacking:
            _try(name, loaders[name], still)
        back = self._found.lacking.keys() - still.keys()
        self._found.lacking = still
        if back:
            logger.warning("networks that were lacking are back: %s", ", ".join(sorted(back)))
            self._back = True
        return self._back
