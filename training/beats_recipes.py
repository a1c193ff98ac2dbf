"""Recipes of the beats task, and the settings of its ablation."""

from __future__ import annotations

from typing import Final

from models.beat_rows import CONTEXT, PIECES, RUNNING, SEGMENT
from models.spec import STEP_CLASSES, Architecture, BeatsFrontEnd
from training.beats_config import BeatsRecipe
from training.config import OptimizerConfig, RunConfig


def ecg_beats_1() -> BeatsRecipe:
    """Class of each beat (N, S, V, F) from one lead: its shape, the patient's usual one, R-R intervals."""
    return BeatsRecipe(
        name="ecg-beats-1",
        description="Class of each beat (N, S, V, F, none) from the last 40 beats of any one lead of ECG.",
        architecture=Architecture(
            front_end=BeatsFrontEnd(
                pieces=PIECES,
                segment=SEGMENT,
                context=len(CONTEXT),
                widths=(16, 32, 32),
                kernels=(7, 5, 5),
                strides=(2, 2, 2),
                width=48,
            ),
            input_gain=2.0,
            recurrent_stride=1,
            hidden=32,
            attention_width=48,
            heads=4,
            dropout=0.2,
            step_classes=len(STEP_CLASSES),
            window_classes=0,
        ),
        optimizer=OptimizerConfig(
            lr=3e-3, weight_decay=0.03, warmup_steps=60, steps=800, batch=32, average_decay=0.99
        ),
        run=RunConfig(threads=1, validate_every=1_000_000, checkpoint_every=200),
    )


_SHAPE: Final = (RUNNING, "height", "like_running", "like_previous")
_TIMING: Final = tuple(name for name in CONTEXT if name not in _SHAPE)
_NO_LSTM, _NO_ATTENTION = "architecture.recurrent=false", "architecture.attention=false"
_NO_NOISE: Final = ("augment.noise=0", "augment.white=0")
_NO_MADE: Final = "data.draw_made=0"
_NO_HANDHELD: Final = "data.cinc2017=false"
_PLAIN: Final = (*_NO_NOISE, _NO_MADE, _NO_HANDHELD)

ABLATION: Final[dict[str, tuple[str, ...]]] = {
    "CNN on one beat": (
        f"data.hidden={','.join((*_SHAPE, *_TIMING))}",
        _NO_LSTM,
        _NO_ATTENTION,
        *_PLAIN,
    ),
    "+ R-R intervals": (f"data.hidden={','.join(_SHAPE)}", _NO_LSTM, _NO_ATTENTION, *_PLAIN),
    "+ the usual beat": (_NO_LSTM, _NO_ATTENTION, *_PLAIN),
    "+ LSTM": (_NO_ATTENTION, *_PLAIN),
    "+ attention with skip": _PLAIN,
    "+ noise": (_NO_MADE, _NO_HANDHELD),
    "+ made recordings": (_NO_HANDHELD,),
    "+ CinC 2017": (),
}
"""What each ingredient buys: ``--set`` options, one ingredient more a line; the last is what is shipped."""
