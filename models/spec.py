"""What a model is, as plain data: the architecture, and the card that travels with the weights.

Everything here is a frozen pydantic model, so a card read from JSON is validated field by field and an
unknown key is an error. No torch: the worker's configuration and the dashboard read cards without loading
it.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

STEP_CLASSES: Final = ("none", "N", "S", "V", "F")
"""Classes of a time step: no beat, or AAMI EC57's normal, supraventricular, ventricular, fusion."""

RHYTHM_CLASSES: Final = ("vf", "vt", "asystole", "af", "noise", "other")
"""States of a window's last seconds: ``vf`` with flutter, ``af`` with atrial flutter, ``other`` the rest."""

NAME: Final = r"^[a-z0-9][a-z0-9._-]*$"
"""What a model may be called: its files bear its name."""

NOTICE: Final = "Research software, no medical device. Not for diagnosis or patient monitoring."


class Frozen(BaseModel):
    """Base of all card parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


Width = Annotated[int, Field(ge=1, le=4096)]
Kernel = Annotated[int, Field(ge=1, le=255)]
Stride = Annotated[int, Field(ge=1, le=64)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# JSON has no NaN: a card says null.
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


class Conv1dFrontEnd(Frozen):
    """A stem and residual blocks of 1-D convolutions for waveforms.

    The total stride is ``stem_stride`` times the product of ``strides``.
    """

    kind: Literal["conv1d"] = "conv1d"
    stem_width: int = Field(default=16, ge=1, le=512)
    stem_kernel: int = Field(default=15, ge=1, le=255)
    stem_stride: int = Field(default=2, ge=1, le=16)
    widths: tuple[Width, ...] = (32, 48, 64)
    kernels: tuple[Kernel, ...] = (5, 5, 3)
    strides: tuple[Stride, ...] = (2, 2, 1)
    dilations: tuple[Stride, ...] = (1, 1, 2)

    @model_validator(mode="after")
    def _same_lengths(self) -> Conv1dFrontEnd:
        lengths = {len(self.widths), len(self.kernels), len(self.strides), len(self.dilations)}
        if len(lengths) != 1 or not self.widths:
            raise ValueError(
                "widths, kernels, strides and dilations need one entry a block, at least one block"
            )
        if any(kernel % 2 == 0 for kernel in (self.stem_kernel, *self.kernels)):
            raise ValueError("kernels must be odd, so that a step stays centred on its samples")
        return self

    @property
    def stride(self) -> int:
        """Samples per time step."""
        total = self.stem_stride
        for stride in self.strides:
            total *= stride
        return total


class BeatsFrontEnd(Frozen):
    """Time steps are beats: pieces of signal that tell of each, and numbers that tell its place in time.

    The input has shape (B, T, pieces * segment + context): T beats, for each ``segment`` samples around its
    peak, further pieces of that length (the typical beat), then ``context`` numbers (R-R intervals and
    ratios). Rows of zeros are no beats: they fill up short sequences and have features of zero.
    """

    kind: Literal["beats"] = "beats"
    pieces: int = Field(default=1, ge=1, le=16, description="pieces of signal a beat, a channel each")
    segment: int = Field(default=108, ge=8, le=4096, description="samples of a beat's piece of signal")
    context: int = Field(default=8, ge=0, le=256, description="numbers beside it")
    widths: tuple[Width, ...] = (16, 32, 48)
    kernels: tuple[Kernel, ...] = (7, 5, 5)
    strides: tuple[Stride, ...] = (2, 2, 2)
    shape_features: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="features of the signal before the numbers join it; 0: all",
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="before shape_features")
    width: int = Field(default=64, ge=1, le=1024, description="features of a beat")

    @model_validator(mode="after")
    def _same_lengths(self) -> BeatsFrontEnd:
        if len({len(self.widths), len(self.kernels), len(self.strides)}) != 1 or not self.widths:
            raise ValueError("widths, kernels and strides need one entry a block, at least one block")
        return self

    @property
    def row(self) -> int:
        """Numbers of a beat in the input."""
        return self.pieces * self.segment + self.context

    @property
    def stride(self) -> int:
        """Items of the input's time axis per step: one beat."""
        return 1


class MelFrames(Frozen):
    """How sound becomes columns of a picture: :class:`models.melspec.MelSpec`, and how levels are removed."""

    rate_hz: float = Field(default=4_000.0, gt=0)
    window: int = Field(default=256, ge=8, le=65_536, description="samples of a frame")
    hop: int = Field(default=80, ge=1, le=65_536, description="samples between frames")
    n_fft: int = Field(default=512, ge=8, le=65_536)
    n_mels: int = Field(default=48, ge=1, le=512)
    low_hz: float = Field(default=60.0, ge=0)
    high_hz: float = Field(default=1_900.0, gt=0)
    floor: float = Field(default=1e-10, gt=0, description="added to a band's power before the logarithm")
    memory_s: float = Field(
        default=20.0, gt=0, description="time constant of the running mean that is taken off each band"
    )
    long: int = Field(default=0, ge=0, le=65_536, description="samples of frames for lines; 0: none")
    short: int = Field(default=0, ge=0, le=65_536, description="samples of frames for clicks; 0: none")

    @property
    def span(self) -> int:
        """Samples that a column is made of."""
        return max(self.window, self.long)

    @property
    def pictures(self) -> int:
        """Pictures of the same bands and columns, one above the other: levels, lines, clicks."""
        return 1 + (self.long > 0) + (self.short > 0)


class Conv2dFrontEnd(Frozen):
    """2-D convolutions over pictures whose columns are time: log-mel spectrograms, or scanned strips.

    The input has shape (B, C, rows_in, columns): ``rows``, once for each of the ``mel`` pictures, which
    become channels. Each block is a 3 x 3 convolution and a pooling by ``row_pools`` and ``strides``; what
    rows remain are joined into ``features`` a time step.
    """

    kind: Literal["conv2d"] = "conv2d"
    rows: int = Field(default=48, ge=1, le=4096)
    hop: int = Field(default=80, ge=1, le=65_536, description="samples of the signal from column to column")
    mel: MelFrames | None = Field(default=None, description="None: columns are no log-mel frames")
    widths: tuple[Width, ...] = (12, 24, 32, 48)
    row_pools: tuple[Stride, ...] = (2, 2, 2, 2)
    strides: tuple[Stride, ...] = (2, 2, 1, 1)
    features: int = Field(default=64, ge=1, le=1024, description="of a time step")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="before the rows are joined")

    @model_validator(mode="after")
    def _consistent(self) -> Conv2dFrontEnd:
        if len({len(self.widths), len(self.row_pools), len(self.strides)}) != 1 or not self.widths:
            raise ValueError("widths, row_pools and strides need one entry a block, at least one block")
        if self.rows_left < 1:
            raise ValueError(f"rows={self.rows}: none are left after row_pools={self.row_pools}")
        if self.mel is not None and (self.mel.n_mels, self.mel.hop) != (self.rows, self.hop):
            raise ValueError(
                f"rows={self.rows}, hop={self.hop}, but mel has {self.mel.n_mels} and {self.mel.hop}"
            )
        return self

    @property
    def pictures(self) -> int:
        """Pictures that lie one above the other in the input."""
        return 1 if self.mel is None else self.mel.pictures

    @property
    def rows_in(self) -> int:
        """Rows of the input."""
        return self.rows * self.pictures

    @property
    def rows_left(self) -> int:
        """Rows after all poolings."""
        rows = self.rows
        for pool in self.row_pools:
            rows //= pool
        return rows

    @property
    def columns_per_step(self) -> int:
        """Columns of the picture per time step."""
        return math.prod(self.strides)

    @property
    def stride(self) -> int:
        """Samples of the signal per time step."""
        return self.hop * self.columns_per_step


class RunningScaleSpec(Frozen):
    """How the amplitude of an EEG channel is taken off: :class:`models.eeg_scale.RunningScale`."""

    memory_s: float = Field(default=120.0, gt=0, description="time constant of the typical amplitude")
    prior_uv: float = Field(default=20.0, gt=0, description="typical amplitude before anything was seen")
    prior_s: float = Field(default=0.5, gt=0, description="seconds that this counts for")
    low_uv: float = Field(default=4.0, gt=0, description="least scale: a channel below it is quiet")
    high_uv: float = Field(default=200.0, gt=0)
    flat_uv: float = Field(default=0.5, ge=0, description="a second below it does not move the scale")
    most_log: float = Field(
        default=0.7, gt=0, description="a second counts as at most so much louder or quieter (log ratio)"
    )
    rise: float = Field(default=0.4, gt=0, le=1, description="weight of a second that is louder than typical")
    implausible_uv: float = Field(
        default=1500.0, gt=0, description="a second that reaches it is no EEG: its channel is missing there"
    )
    settle_s: float = Field(default=5.0, gt=0, description="so long every second counts in full")
    most: float = Field(default=30.0, gt=0, description="scaled samples are held within plus and minus this")


class ChannelsFrontEnd(Frozen):
    """One encoder for every channel, then pooling over channels: their order and number do not matter.

    The input has shape (B, C, context + T * step): channels in units of their running scale, NaN where
    missing. A step of a channel is encoded with ``context`` samples before it. Strides are those of the
    convolutions inside a step; a step gives one row of features.
    """

    kind: Literal["channels"] = "channels"
    step: int = Field(default=128, ge=8, le=65_536, description="samples of a time step")
    context: int = Field(default=128, ge=0, le=65_536, description="samples before a step that it sees too")
    stem_width: int = Field(default=12, ge=1, le=512)
    stem_kernel: int = Field(default=9, ge=1, le=255)
    stem_stride: int = Field(default=2, ge=1, le=16)
    widths: tuple[Width, ...] = (16, 24, 32)
    kernels: tuple[Kernel, ...] = (5, 5, 5)
    strides: tuple[Stride, ...] = (2, 2, 2)
    dropout: float = Field(default=0.2, ge=0, lt=1, description="of a channel's features")
    width: int = Field(default=48, ge=1, le=1024, description="features of a step")
    scale: RunningScaleSpec = RunningScaleSpec()

    @model_validator(mode="after")
    def _consistent(self) -> ChannelsFrontEnd:
        if len({len(self.widths), len(self.kernels), len(self.strides)}) != 1 or not self.widths:
            raise ValueError("widths, kernels and strides need one entry a block, at least one block")
        if any(kernel % 2 == 0 for kernel in (self.stem_kernel, *self.kernels)):
            raise ValueError("kernels must be odd, so that a step stays centred on its samples")
        return self

    @property
    def stride(self) -> int:
        """Samples per time step."""
        return self.step


FrontEnd = Annotated[
    Conv1dFrontEnd | BeatsFrontEnd | Conv2dFrontEnd | ChannelsFrontEnd, Field(discriminator="kind")
]
"""The front ends there are, told apart by ``kind``."""


class Architecture(Frozen):
    """Numbers from which :class:`models.cnn_lstm.CnnLstm` is built."""

    channels: int = Field(default=1, ge=1, le=64)
    front_end: FrontEnd = Conv1dFrontEnd()
    input_gain: float = Field(
        default=8.0, gt=0, description="the network sees asinh(gain * x): fixed, never per window"
    )
    recurrent_stride: int = Field(default=2, ge=1, le=8, description="front-end steps per recurrent step")
    recurrent_squeeze: int = Field(
        default=0,
        ge=0,
        le=256,
        description="features of each step that go side by side into their recurrent step; 0: a strided "
        "convolution of attention_width instead",
    )
    early_steps: int = Field(
        default=0,
        ge=0,
        le=256,
        description="steps of signal before a window that the front end sees: for running signals; 0: none",
    )
    hidden: int = Field(default=40, ge=1, le=1024)
    attention_width: int = Field(default=48, ge=1, le=1024)
    heads: int = Field(default=4, ge=1, le=64)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    recurrent: bool = Field(default=True, description="False leaves the LSTM out (ablation)")
    attention: bool = Field(default=True, description="False leaves attention and its skip out (ablation)")
    step_classes: int = Field(default=len(STEP_CLASSES), ge=0, le=64, description="0: no head per step")
    window_classes: int = Field(default=len(RHYTHM_CLASSES), ge=0, le=64, description="0: no head per window")
    window_steps: int = Field(
        default=63, ge=1, description="the window's label is the state of these last steps"
    )
    score_width: int = Field(
        default=0, ge=0, le=1024, description="of what weighs the steps for the window's label; 0: a step's"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Architecture:
        if self.attention_width % self.heads:
            raise ValueError(f"attention_width={self.attention_width} is no multiple of heads={self.heads}")
        if not self.step_classes and not self.window_classes:
            raise ValueError("step_classes and window_classes are both 0: give the network a head")
        if self.step_classes == 1:
            raise ValueError("step_classes=1: need 'none' and at least one class")
        if self.recurrent_squeeze and not self.recurrent:
            raise ValueError("recurrent_squeeze feeds the recurrent part: leave it 0 where recurrent=False")
        return self


class Interval(Frozen):
    """A figure with its 95 % interval: NaN, null in JSON, where there are too few patients for one."""

    value: Number
    low: Number
    high: Number
    n: int = Field(ge=0, description="beats or windows behind the figure")


class Cost(Frozen):
    """Multiply-add cost of one window, and where it is spent."""

    parameters: int
    mflop_per_window: float = Field(description="two operations for each multiply-add")
    recurrent_share: float


class ModelSpec(Frozen):
    """The card of a model.

    ``thresholds`` holds ``beat`` (probability that a beat is there) and one entry for each rhythm that
    raises an alarm. ``beat_gains`` multiply the class probabilities N, S, V, F before the largest wins. All
    were chosen on validation patients.
    """

    schema_version: Literal["model/1"] = "model/1"
    name: str = Field(pattern=NAME, max_length=100)
    notice: str = NOTICE
    task: str = Field(default="monitor", description="what it is for: training.session.open_task")
    description: str
    signal: str = "ecg"
    unit: str = "mV"
    fs_hz: float = Field(default=125.0, gt=0)
    band_hz: tuple[float, float] = (0.5, 40.0)
    window_s: float = Field(default=8.0, gt=0)
    hop_s: float = Field(default=1.0, gt=0)
    step_s: float = Field(default=0.064, ge=0, description="0 where a step is a beat")
    right_context_s: float = Field(
        default=1.0, ge=0, description="a step is final once it has this much after it"
    )
    window_label_s: float = Field(
        default=4.0, gt=0, description="the window's rhythm is the state of its last seconds"
    )
    step_classes: tuple[str, ...] = STEP_CLASSES
    window_classes: tuple[str, ...] = RHYTHM_CLASSES
    beat_gains: tuple[Finite, ...] = (1.0, 1.0, 1.0, 1.0)
    thresholds: dict[str, Finite]
    normalisation: str
    architecture: Architecture
    cost: Cost
    data: str
    split: dict[str, tuple[str, ...]]
    metrics: dict[str, Interval]
    caveats: tuple[str, ...] = ()
    training: dict[str, str | int | float | bool | None | list[float] | list[str]]
    code_commit: str
    metrics_code_commit: str = Field(default="", description="of the code that last measured the metrics")
    sha256: str = Field(default="", description="of the weights file; filled when the model is saved")

    @property
    def channels(self) -> int:
        """Leads of one window."""
        return self.architecture.channels

    @property
    def window_samples(self) -> int:
        """Samples of one window."""
        return round(self.window_s * self.fs_hz)

    @property
    def n_steps(self) -> int:
        """Time steps of one window."""
        return -(-self.window_samples // self.architecture.front_end.stride)

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        beats = isinstance(self.architecture.front_end, BeatsFrontEnd)
        step_s = 0.0 if beats else self.architecture.front_end.stride / self.fs_hz
        if abs(step_s - self.step_s) > 1e-9:
            raise ValueError(
                f"step_s={self.step_s} but the front end's stride at {self.fs_hz} Hz gives {step_s}"
            )
        if len(self.step_classes) != self.architecture.step_classes:
            raise ValueError("step_classes and architecture.step_classes disagree")
        if len(self.window_classes) != self.architecture.window_classes:
            raise ValueError("window_classes and architecture.window_classes disagree")
        if self.step_classes == STEP_CLASSES and len(self.beat_gains) != len(STEP_CLASSES) - 1:
            raise ValueError(f"beat_gains has {len(self.beat_gains)} entries; one for each of N, S, V, F")
        return self
