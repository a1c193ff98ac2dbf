"""Networks of sounds and EEG on a device, and on the CPU once that fails.

What they compute is asked for by whole batches from inputs that lie on the CPU, so that a batch at which a
GPU fails is computed again and nothing is lost; :mod:`inference.gpu` does the same for those of the ECG.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from inference.gpu import CPU, FAULTS, first_line, is_device_error
from inference.predictor import on_device
from inference.verdict_beats import LeadOutput, MonitorBeats
from ingest.types import BoolArray, FloatArray
from models import store
from models.cnn_lstm import CnnLstm
from models.eeg import EegModel, Seen
from models.eeg_run import front_end_of
from models.sounds import Heard, SoundModel
from models.spec import ModelSpec

logger = logging.getLogger(__name__)

Made = TypeVar("Made")


class Fallback:
    """One network, on a device as long as that works.

    Parameters
    ----------
    name : str
        Of the network, for people to read.
    network : CnnLstm
        On the CPU, where its weights are still to be had when the device is lost.
    device : torch.device
        Where to compute.
    use : callable
        Takes the network that is computed with from now on.

    Attributes
    ----------
    device : torch.device
        Where it computes now.
    lost : str or None
        Why it no longer computes where it was told to.
    """

    def __init__(
        self, name: str, network: CnnLstm, device: torch.device, use: Callable[[CnnLstm], None]
    ) -> None:
        self._name, self._network, self._use = name, network, use
        self.device = device
        self.lost: str | None = None
        try:
            use(on_device(network, device))
        except FAULTS as error:
            self._fall_back(error)

    def __call__(self, work: Callable[[], Made]) -> Made:
        """Do work that changes nothing but what it returns; once more, on the CPU, if the device fails."""
        try:
            return work()
        except FAULTS as error:
            self._fall_back(error)
        return work()

    def _fall_back(self, error: Exception) -> None:
        """Go on on the CPU; an error that it would not mend is raised again."""
        if self.device == CPU or not is_device_error(error):
            raise error
        reason = first_line(error)
        logger.error(
            "GPU lost or out of memory: %s fails (%s); %s computes on the CPU from now on, more slowly; "
            "restart the worker to use it again",
            self.device,
            reason,
            self._name,
        )
        self.lost = f"{self.device}: {reason}"
        self.device = CPU
        self._use(self._network)


class SteadyBeats(MonitorBeats):
    """The beats of the judge of device alarms, which goes on when its GPU fails.

    Parameters
    ----------
    network, spec, device
        As of :class:`SteadySounds`.

    Raises
    ------
    UnfitModel
        The model says nothing about beats or windows.
    """

    def __init__(self, network: CnnLstm, spec: ModelSpec, device: torch.device) -> None:
        super().__init__(network, spec)
        self.fallback = Fallback(spec.name, network, device, self._take)

    def _take(self, network: CnnLstm) -> None:
        self.model = network

    def where(self) -> str:
        """Where it computes now, for people to read."""
        return str(self.fallback.device)

    def fallen_back(self) -> dict[str, str]:
        """Its name and what became of its GPU; nothing while all is well."""
        return {} if self.fallback.lost is None else {self.spec.name: self.fallback.lost}

    def __call__(self, signal: FloatArray) -> LeadOutput:
        """As :class:`inference.verdict_beats.MonitorBeats`, wherever it can be computed."""
        find = super().__call__
        return self.fallback(lambda: find(signal))


class _Standing:
    """Says how a network with a :class:`Fallback` stands."""

    fallback: Fallback

    @property
    def where(self) -> str:
        """Where it computes now, for people to read."""
        return str(self.fallback.device)

    @property
    def lost(self) -> str | None:
        """What became of the GPU that it was to compute on; None while all is well."""
        return self.fallback.lost


class SteadySounds(_Standing, SoundModel):
    """A model of sounds that goes on when its GPU fails.

    Parameters
    ----------
    network : CnnLstm
        In evaluation mode, on the CPU.
    spec : ModelSpec
        Its card.
    device : torch.device
        Where to compute.

    Raises
    ------
    CardMismatch
        The card is of no model of sounds.
    """

    def __init__(self, network: CnnLstm, spec: ModelSpec, device: torch.device) -> None:
        super().__init__(network, spec)
        self.fallback = Fallback(spec.name, network, device, self._take)

    @classmethod
    def on(cls, name_or_path: str, device: torch.device) -> SteadySounds:
        """Load by a shipped name or a path, as :func:`models.store.load` does, with its errors."""
        return cls(*store.load(name_or_path, CPU), device)

    def _take(self, network: CnnLstm) -> None:
        self.network = network

    def listen(self, frames_BMT: FloatArray, where_BS: BoolArray | None = None) -> Heard:
        """As :meth:`models.sounds.SoundModel.listen`, wherever it can be computed."""
        heard = super().listen
        return self.fallback(lambda: heard(frames_BMT, where_BS))


class SteadyEeg(_Standing, EegModel):
    """A model of seizures that goes on when its GPU fails.

    Parameters
    ----------
    network, spec, device
        As of :class:`SteadySounds`.

    Raises
    ------
    CardMismatch
        The card is of no model of seizures.
    """

    def __init__(self, network: CnnLstm, spec: ModelSpec, device: torch.device) -> None:
        super().__init__(network, spec)
        self.fallback = Fallback(spec.name, network, device, self._take)

    @classmethod
    def on(cls, name_or_path: str, device: torch.device) -> SteadyEeg:
        """Load by a shipped name or a path, as :func:`models.store.load` does, with its errors."""
        return cls(*store.load(name_or_path, CPU), device)

    def _take(self, network: CnnLstm) -> None:
        self.network, self.front_end = network.eval(), front_end_of(network)

    def see(self, x_BCN: FloatArray, features_BFW: FloatArray) -> Seen:
        """As :meth:`models.eeg.EegModel.see`, wherever it can be computed."""
        seen = super().see
        return self.fallback(lambda: seen(x_BCN, features_BFW))
