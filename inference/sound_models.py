"""Which networks listen to sounds."""

from __future__ import annotations

from typing import Final

import torch

from inference.cli import NO_MODEL
from inference.fallback import SteadySounds
from ingest.types import SignalKind
from models import cards

SHIPPED: Final = {SignalKind.LUNG_SOUND: "lung-sounds-1", SignalKind.HEART_SOUND: "heart-sounds-1"}


def load_sounds(lung: str | None, heart: str | None, device: torch.device) -> dict[SignalKind, SteadySounds]:
    """Load the networks that are asked for.

    Parameters
    ----------
    lung, heart : str or None
        Shipped name or path of a card; "none" for no network, ``None`` for the shipped one if there is one.
    device : torch.device
        Where they compute.

    Raises
    ------
    ModelError
        A model that was named is not there, or is no model of sounds.
    """
    wanted = {SignalKind.LUNG_SOUND: lung, SignalKind.HEART_SOUND: heart}
    shipped = cards.shipped()
    names = {
        kind: name or (SHIPPED[kind] if SHIPPED[kind] in shipped else NO_MODEL)
        for kind, name in wanted.items()
    }
    return {kind: SteadySounds.on(name, device) for kind, name in names.items() if name != NO_MODEL}
