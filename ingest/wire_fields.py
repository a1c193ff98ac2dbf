"""What a device may say in the fields of a chunk, as pydantic models.

A chunk has two parts. Its :class:`Layout` (who, what, how fast, in which unit) stays the same for hours and
is validated once; its :class:`Moment` (when, electrodes, battery) is validated in every chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ingest.errors import BadChunk, plain
from ingest.types import NS_PER_S, UNIT_SCALES, FloatArray, SignalKind

MAX_CHANNELS: Final = 256
MAX_PACER_MARKS: Final = 1_000
MAX_START_NS: Final = 7_258_118_400_000_000_000
"""The year 2200; keeps every sum of times within 64 bits."""
_PACER_SLACK_NS: Final = 10 * NS_PER_S


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise PydanticCustomError(
            "label", "must be printable, without control characters or blanks at its ends"
        )
    return text


Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Scale = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=MAX_CHANNELS)]


class Layout(BaseModel):
    """The part of a chunk that does not change from chunk to chunk.

    ``gain`` and ``baseline`` are empty where the samples are physical (JSON only), else one number for all
    channels or one each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bed: Label
    device: Label
    kind: str
    channels: Annotated[list[Label], Field(min_length=1, max_length=MAX_CHANNELS)]
    unit: str
    fs_hz: Annotated[float, Field(ge=1.0, le=48_000.0, allow_inf_nan=False)]
    gain: Scale
    baseline: Scale

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [str(kind) for kind in SignalKind]
        if self.kind not in names:
            raise PydanticCustomError(
                "kind",
                "kind={value} is none of {names}",
                {"value": short(self.kind), "names": ", ".join(names)},
            )
        units = UNIT_SCALES[SignalKind(self.kind)]
        if self.unit not in units:
            raise PydanticCustomError(
                "wrong_unit",
                "unit={value} is none of {units} ({kind}); convert the samples or correct the unit",
                {"value": short(self.unit), "units": ", ".join(units), "kind": self.kind},
            )
        if len(set(self.channels)) != len(self.channels):
            raise PydanticCustomError(
                "channels",
                "channels={value} names one twice; give each channel its own name",
                {"value": short(self.channels)},
            )
        for name, scale in (("gain", self.gain), ("baseline", self.baseline)):
            if len(scale) not in (0, 1, len(self.channels)):
                raise PydanticCustomError(
                    "scale",
                    "{name} has {n} numbers for {c} channels; give one for all or one each",
                    {"name": name, "n": len(scale), "c": len(self.channels)},
                )
        if self.baseline and not self.gain:
            raise PydanticCustomError("scale", "baseline without gain; send both, or physical samples")
        if any(gain == 0.0 for gain in self.gain):
            raise PydanticCustomError(
                "gain", "gain=0 would make every sample infinite; send digital steps per unit"
            )
        return self


class Moment(BaseModel):
    """The part of a chunk that changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    start_ns: Annotated[int, Field(gt=0, lt=MAX_START_NS)]
    seq: Annotated[int, Field(ge=0, lt=2**63)]
    lead_off: Annotated[list[bool], Field(max_length=MAX_CHANNELS)] | None = None
    pacer_ns: Annotated[
        list[Annotated[int, Field(gt=0, lt=MAX_START_NS)]], Field(max_length=MAX_PACER_MARKS)
    ] = []  # noqa: RUF012 - pydantic copies it
    status: Annotated[str, Field(max_length=200), AfterValidator(_printable)] | None = None
    battery: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A validated layout, ready for arithmetic.

    Parameters
    ----------
    bed, device, kind, channels, fs_hz
        As in :class:`~ingest.types.Chunk`.
    factor, baseline : ndarray of float32, shape (n_channels,)
        Canonical value = (digital - baseline) * factor.
    digital : bool
        Whether gain and baseline were given.
    plain_factor : float32 or None
        The factor of all channels where they have the same one and no baseline.
    """

    bed: str
    device: str
    kind: SignalKind
    channels: tuple[str, ...]
    fs_hz: float
    factor: FloatArray
    baseline: FloatArray
    digital: bool
    plain_factor: np.float32 | None


def short(value: object) -> str:
    """Return a value's text for an error line, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def validate_stream(fields: dict[str, object]) -> Stream:
    """Validate the fields of a :class:`Layout`.

    Raises
    ------
    BadChunk
        ``invalid_field``, ``wrong_unit`` or ``non_finite``.
    """
    try:
        layout = Layout.model_validate(fields)
    except ValidationError as error:
        raise refusal(error) from None
    kind = SignalKind(layout.kind)
    scale = UNIT_SCALES[kind][layout.unit]
    n_channels = len(layout.channels)
    with np.errstate(over="ignore", under="ignore"):
        factor = (scale / np.array(layout.gain or [1.0])).astype(np.float32)
        baseline = np.array(layout.baseline or [0.0]).astype(np.float32)
        largest = np.abs(factor) * (np.abs(baseline) + np.float32(32_768))
    if not (np.isfinite(largest).all() and factor.all()):
        raise BadChunk(
            "invalid_field",
            f"gain={short(layout.gain)} baseline={short(layout.baseline)} leave single precision; "
            "send digital steps per unit",
        )
    return Stream(
        bed=layout.bed,
        device=layout.device,
        kind=kind,
        channels=tuple(layout.channels),
        fs_hz=layout.fs_hz,
        factor=np.ascontiguousarray(np.broadcast_to(factor, n_channels)),
        baseline=np.ascontiguousarray(np.broadcast_to(baseline, n_channels)),
        digital=bool(layout.gain),
        plain_factor=None if baseline.any() or (factor != factor[0]).any() else factor[0],
    )


def validate_moment(fields: dict[str, object], n_channels: int) -> Moment:
    """Validate the fields of a :class:`Moment`.

    Raises
    ------
    BadChunk
        ``invalid_field`` or ``non_finite``.
    """
    try:
        moment = Moment.model_validate(fields)
    except ValidationError as error:
        raise refusal(error) from None
    if moment.lead_off is not None and len(moment.lead_off) != n_channels:
        raise BadChunk(
            "invalid_field",
            f"lead_off has {len(moment.lead_off)} flags for {n_channels} channels; send one each or none",
        )
    return moment


def check_pacer(moment: Moment, n_samples: int, fs_hz: float) -> None:
    """Refuse pacing marks that lie far from their chunk.

    Raises
    ------
    BadChunk
        ``invalid_field``.
    """
    first = moment.start_ns - _PACER_SLACK_NS
    last = moment.start_ns + round(n_samples / fs_hz * NS_PER_S) + _PACER_SLACK_NS
    for mark in moment.pacer_ns:
        if not first <= mark <= last:
            raise BadChunk(
                "invalid_field", f"pacer_ns={mark} is more than 10 s away from its chunk; send it in time"
            )


def refusal(error: ValidationError) -> BadChunk:
    """Turn the first of pydantic's errors into a :class:`BadChunk` that names field and value."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "finite_number":
        return BadChunk("non_finite", f"{field}={short(first['input'])}: send a finite number")
    reason = "wrong_unit" if first["type"] == "wrong_unit" else "invalid_field"
    if first["type"] == "missing":
        return BadChunk(reason, f"{field} is absent; the fields are listed in docs/wire-format.md")
    where = f"{field}={short(first['input'])}: " if field else ""
    return BadChunk(reason, where + plain(first["msg"]))
