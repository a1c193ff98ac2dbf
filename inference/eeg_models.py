"""Which network looks for seizures."""

from __future__ import annotations

from typing import Final

import torch

from inference.cli import NO_MODEL
from inference.fallback import SteadyEeg
from models import cards

SHIPPED: Final = "eeg-seizure-1"


def load_eeg(name: str | None, device: torch.device) -> SteadyEeg | None:
    """Load the network that is asked for.

    Parameters
    ----------
    name : str or None
        Shipped name or path of a card; "none" for no network, ``None`` for the shipped one if there is one.
    device : torch.device
        Where it computes.

    Raises
    ------
    ModelError
        A model that was named is not there, or is no model of seizures.
    """
    wanted = name or (SHIPPED if SHIPPED in cards.shipped() else NO_MODEL)
    return None if wanted == NO_MODEL else SteadyEeg.on(wanted, device)
