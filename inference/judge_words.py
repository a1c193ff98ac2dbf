"""What spoke for and against an alarm, in sentences that staff understand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.verdict import Reason
from models.verdict_features import CALM_HIGH
from models.verdict_pulses import PulseView, pulse_features

MOST: Final = 4
LEAST_LOG_ODDS: Final = 0.05
"""What moved the verdict less is no reason."""

_FIGURE: Final = re.compile(r"\d+(\.\d+)?")
NO_PULSE: Final = "no pulse channel (ABP, PLETH) could be relied on"


@dataclass(frozen=True, slots=True)
class Facts:
    """What sentences draw on.

    Attributes
    ----------
    numbers : mapping
        All of :func:`models.verdict_features.verdict_features`.
    pulses : mapping
        :func:`models.verdict_pulses.pulse_features` of each channel that can be relied on.
    """

    numbers: Mapping[str, float]
    pulses: Mapping[str, Mapping[str, float]]


Sentence = Callable[[float, Facts], str]


def facts_of(
    names: Sequence[str], row: Sequence[float], channels: Sequence[str], pulses: Sequence[PulseView]
) -> Facts:
    """Gather what sentences draw on; ``channels`` are the names of ``pulses``."""
    found = {channel: pulse_features(view) for channel, view in zip(channels, pulses, strict=True)}
    trusted = {channel: features for channel, features in found.items() if features is not None}
    return Facts(dict(zip(names, row, strict=True)), trusted)


def reasons_in_words(reasons: Sequence[Reason], facts: Facts, stands: bool) -> list[str]:
    """Sentences for the strongest reasons, first those that speak for what was decided.

    Parameters
    ----------
    reasons : sequence of Reason
        The strongest first.
    facts : Facts
        Of the same alarm.
    stands : bool
        What was decided.

    Returns
    -------
    list of str
        At most :data:`MOST`: ``for: …`` where it spoke for the alarm's being true, ``against: …`` where it
        did not, always as compared with the average alarm of its kind.
    """
    spoke = [reason for reason in reasons if abs(reason.log_odds) >= LEAST_LOG_ODDS]
    spoke.sort(key=lambda reason: (reason.log_odds > 0) != stands)
    said: dict[str, str] = {}
    for reason in spoke:
        text = SENTENCES[reason.name](reason.value, facts)
        side = "for" if reason.log_odds > 0 else "against"
        # Several numbers measure the same: it is said once, with the figure of the strongest.
        said.setdefault(_FIGURE.sub("", text), f"{side}: {text}")
    return list(said.values())[:MOST]


def _per_min(log_s: float) -> float:
    return 60.0 / float(np.exp(log_s))


def _levels(*steps: tuple[float, str], above: str) -> Sentence:
    """The text of the first limit that the value lies below, filled with it."""

    def say(value: float, facts: Facts) -> str:
        text = next((text for limit, text in steps if value < limit), above)
        return text.format(value=value, percent=100.0 * value, times=float(np.exp(value)))

    return say


def _pulse(key: str, *steps: tuple[float, str], above: str) -> Sentence:
    """The same about the pulse channel that speaks most against an alarm, if there is one."""
    calmest = max if key in CALM_HIGH else min

    def say(value: float, facts: Facts) -> str:
        if not facts.pulses:
            return NO_PULSE
        channel = calmest(facts.pulses, key=lambda name: facts.pulses[name][key])
        found = facts.pulses[channel]
        text = next((text for limit, text in steps if value < limit), above)
        rate = _per_min((found["slow8"] + found["fast8"]) / 2)
        return text.format(channel=channel, value=value, percent=100.0 * value, rate=rate)

    return say


def _agreed(key: str, text: str) -> Sentence:
    """A rate or a pause that all channels agree on, weighted by how far each can be relied on."""

    def say(value: float, facts: Facts) -> str:
        number = facts.numbers[f"agreed/{key}"]
        return text.format(seconds=number, rate=_per_min(number))

    return say


def _run(value: float, facts: Facts) -> str:
    if facts.numbers["mean/run_v"] < 0.3:
        return "no ventricular run on the leads"
    sure = "a" if facts.numbers["mean/run_v"] > 0.7 else "perhaps a"
    return f"{sure} ventricular run at {100 * facts.numbers['mean/run_rate']:.0f}/min on the leads"


def _looks(what: str) -> Sentence:
    """What the network saw in the last 11 s."""
    return _levels(
        (0.2, f"the leads do not look like {what}"),
        (0.5, f"the leads look a little like {what}"),
        above=f"the leads look like {what}",
    )


_STEADY: Final = ("pulse in {channel} stayed regular, at {rate:.0f}/min", "pulse in {channel} was irregular")
_STRONG: Final = (
    "pulse in {channel} kept its strength ({percent:.0f} % of usual), at {rate:.0f}/min",
    "pulse in {channel} weakened to {percent:.0f} % of usual",
)
_SHAPE: Final = ("pulses in {channel} lost their shape", "pulses in {channel} kept their shape")
_PAUSE: Final = _pulse(
    "gap",
    (2.0, "pulse in {channel} went on at {rate:.0f}/min"),
    above="pulse in {channel} paused {value:.1f} s",
)
_LIKE_BEFORE: Final = ("the beats look as they did before", "beats look unlike those before")
_NOISE: Final = _levels(
    (0.2, "the leads are clean"), (0.6, "the leads are somewhat noisy"), above="the leads are noisy"
)
_STEEP: Final = _levels(
    (-1.2, "beats vanish for some seconds ({times:.1f} of their usual steepness)"),
    (-0.4, "the beats became flatter ({times:.1f} of their usual steepness)"),
    above="beats as steep as usual in every part of the last 14 s",
)


def _longest(value: float, facts: Facts) -> str:
    return f"longest pause on the leads {value:.1f} s"


def _pulse_or_leads_gap(value: float, facts: Facts) -> str:
    return _PAUSE(value, facts) if facts.pulses else _longest(value, facts)


SENTENCES: Final[dict[str, Sentence]] = {
    "evidence/Asystole": _agreed("gap", "longest pause over all channels {seconds:.1f} s (asystole: 4 s)"),
    "evidence/Bradycardia": _agreed("slow4", "slowest rate over five beats {rate:.0f}/min (limit 40/min)"),
    "evidence/Tachycardia": _agreed("fast16", "fastest rate over 17 beats {rate:.0f}/min (limit 140/min)"),
    "evidence/Ventricular_Flutter_Fib": lambda value, facts: _looks("ventricular flutter or fibrillation")(
        facts.numbers["mean/vt_vf_three"], facts
    ),
    "evidence/Ventricular_Tachycardia": _run,
    "pulses": _levels(
        (0.5, NO_PULSE), (1.5, "one pulse channel to rely on"), above="{value:.0f} pulse channels to rely on"
    ),
    "pulse/gap": _PAUSE,
    "pulse_least/gap": _pulse_or_leads_gap,
    "pulse/stray": _pulse("stray", (0.35, _STEADY[0]), above=_STEADY[1]),
    "pulse/stray_to_end": _pulse("stray_to_end", (0.5, _STEADY[0]), above=_STEADY[1]),
    "pulse/stray_top3": _pulse("stray_top3", (0.3, _STEADY[0]), above=_STEADY[1]),
    "pulse/irregular": _pulse("irregular", (0.2, _STEADY[0]), above=_STEADY[1]),
    "pulse/rise_least": _pulse("rise_least", (0.6, _STRONG[1]), above=_STRONG[0]),
    "pulse/rise_three": _pulse("rise_three", (0.7, _STRONG[1]), above=_STRONG[0]),
    "pulse/height_last4": _pulse("height_last4", (0.6, _STRONG[1]), above=_STRONG[0]),
    "pulse/height_least": _pulse("height_least", (0.5, _STRONG[1]), above=_STRONG[0]),
    "pulse/height4": _pulse("height4", (0.6, _STRONG[1]), above=_STRONG[0]),
    "pulse/alike_three": _pulse("alike_three", (0.7, _SHAPE[0]), above=_SHAPE[1]),
    "pulse/alike": _pulse("alike", (0.8, _SHAPE[0]), above=_SHAPE[1]),
    "agreed/gap": _agreed("gap", "longest pause over all channels {seconds:.1f} s"),
    "mean/gap": _longest,
    "mean/agreement": _levels(
        (0.6, "the usual beats vary in shape"), above="the usual beats have one clear shape"
    ),
    "mean/interval": lambda value, facts: f"usual rate before the alarm {60 / value:.0f}/min",
    "mean/irregular": _levels(
        (0.1, "the rhythm before the alarm was regular"), above="the rhythm before the alarm was irregular"
    ),
    "mean/ventricular_baseline": _levels(
        (0.02, "hardly any ventricular beats before the alarm"),
        above="{percent:.0f} % ventricular beats before the alarm",
    ),
    "mean/run_v": _run,
    "mean/run_v_least": _run,
    "mean/run_v_ab": _run,
    "mean/run_rate": lambda value, facts: f"the five most ventricular beats came at {100 * value:.0f}/min",
    "mean/ventricular_top5": _levels(
        (0.3, "no five ventricular beats on the leads"), above="five or more beats look ventricular"
    ),
    "mean/run_ab": _levels((0.3, _LIKE_BEFORE[0]), above=_LIKE_BEFORE[1]),
    "mean/run_ab_least": _levels((0.3, _LIKE_BEFORE[0]), above=_LIKE_BEFORE[1]),
    "mean/alike": _levels((0.7, _LIKE_BEFORE[1]), above=_LIKE_BEFORE[0]),
    "mean/strange": _levels((0.3, _LIKE_BEFORE[0]), above=_LIKE_BEFORE[1]),
    **{
        f"mean/{key}_{how}": _looks(what)
        for key, what in {
            "vf": "ventricular fibrillation",
            "vt": "ventricular tachycardia",
            "vt_vf": "ventricular tachycardia or fibrillation",
            "asystole": "asystole",
            "af": "atrial fibrillation",
            "other": "an ordinary rhythm",
        }.items()
        for how in ("max", "mean", "three")
    },
    "mean/noise_max": _NOISE,
    "mean/noise_mean": _NOISE,
    "least/noise_max": _NOISE,
    "mean/noise_baseline": _levels(
        (0.2, "the leads were clean before the alarm"), above="the leads were noisy before the alarm"
    ),
    "mean/steep3": _STEEP,
    "mean/steep4": _STEEP,
    "mean/steep_last4": _levels(
        (-0.7, "no steep beats in the last 4 s"), above="beats as steep as usual in the last 4 s"
    ),
    "mean/steep_max": _levels(
        (0.7, "nothing steeper than the usual beats"),
        above="something {times:.1f} times as steep as the usual beats",
    ),
    "mean/tall": _levels(
        (0.7, "nothing taller than the usual beats"),
        above="something {times:.1f} times as tall as the usual beats",
    ),
    "mean/purity": _levels(
        (0.5, "no single wave on the leads, as flutter would be"),
        above="the leads swing in one wave for some seconds",
    ),
    "mean/dominant_hz": lambda value, facts: (
        f"the leads swing at {60 * value:.0f}/min where they are most even"
    ),
    "mean/high": _levels((0.3, "little muscle or mains noise"), above="much muscle or mains noise"),
}
"""A sentence for each number that the shipped model looks at (a test holds that none is absent)."""
