"""Whether a model is one that the ECG monitor can read."""

from __future__ import annotations

from inference.errors import UnfitModel
from ingest.conditioning import ECG
from models.spec import ModelSpec


def check_fit(card: ModelSpec) -> None:
    """Refuse a model that the rules cannot read.

    Raises
    ------
    UnfitModel
        Names what the card lacks.
    """
    if card.hop_s != 1.0:
        raise UnfitModel(f"model {card.name}: hop_s={card.hop_s:g}, but the alarm rules step by 1 s")
    for name in ("vf", "vt", "asystole", "af", "noise"):
        if name not in card.window_classes:
            raise UnfitModel(f"model {card.name}: window_classes lacks {name!r}; train with it")
    for name in ("beat", "vf", "vt", "af", "noise"):
        if name not in card.thresholds:
            raise UnfitModel(
                f"model {card.name}: thresholds lacks {name!r}; choose one on validation patients"
            )
    if (card.fs_hz, *card.band_hz) != (ECG.rate_hz, ECG.low_hz, ECG.high_hz):
        raise UnfitModel(
            f"model {card.name}: {card.fs_hz:g} Hz, band {card.band_hz}; this worker conditions ECG to "
            f"{ECG.rate_hz:g} Hz, ({ECG.low_hz}, {ECG.high_hz})"
        )
