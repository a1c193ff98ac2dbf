"""Figures of the scores as inline SVG in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

import numpy as np

from inference.episodes import Heard
from inference.reference_marks import KINDS
from inference.score import RecordScore
from inference.score_stats import PROMPT_S, delays_of
from inference.score_strips import Strip

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
LONGEST_S: Final = 20.0
"""Delays beyond it lie outside the figure."""

LINE_WIDTH, LANE, MARGIN = 960, 16, 130
STRIP_HEIGHT: Final = 110
STRIP_POINTS: Final = 1_500


def colour(kind: str) -> str:
    """The page's name of a kind's colour."""
    return f"var(--c{KINDS.index(kind)})" if kind in KINDS else "var(--soft)"


def legend(kinds: Iterable[str]) -> str:
    """Kinds with their colours."""
    keys = "".join(f'<span><i style="background:{colour(kind)}"></i>{escape(kind)}</span>' for kind in kinds)
    return f'<div class="legend">{keys}</div>'


def delay_chart(scores: Sequence[RecordScore]) -> str:
    """Share of episodes that had alarmed, by the time since their onset; one step line a kind."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(seconds: float) -> float:
        return LEFT + seconds / LONGEST_S * (right - LEFT)

    def y(share: float) -> float:
        return bottom - share * (bottom - TOP)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path class="grid" d="M{LEFT} {y(share):.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(share) + 3.5:.1f}" text-anchor="end">{share:.0%}</text>')
    for seconds in range(0, round(LONGEST_S) + 1, 5):
        parts.append(f'<text x="{x(seconds):.1f}" y="{bottom + 15}" text-anchor="middle">{seconds}</text>')
    parts.append(f'<path class="goal" d="M{x(PROMPT_S):.1f} {TOP}V{bottom}"/>')
    shown = []
    for kind in KINDS:
        delays, n_episodes = delays_of(scores, kind)
        if n_episodes == 0:
            continue
        shown.append(kind)
        steps = [f"M{x(0):.1f} {y(0):.1f}"]
        for nth, delay in enumerate(sorted(delays), start=1):
            if delay <= LONGEST_S:
                steps.append(f"H{x(delay):.1f}V{y(nth / n_episodes):.1f}")
        steps.append(f"H{right}")
        parts.append(f'<path class="line" style="stroke:{colour(kind)}" d="{"".join(steps)}"/>')
    middle = (LEFT + right) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">seconds from the onset</text>')
    return (
        '<figure class="chart"><figcaption>Episodes that had alarmed by then (dashed: 10 s)</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>{legend(shown)}</figure>'
    )


def timeline(score: RecordScore) -> str:
    """One record from begin to end: episodes above, false alarms below, those not scored last."""
    scale = (LINE_WIDTH - MARGIN) / max(score.length_s, 1.0)

    def bar(begin_s: float, end_s: float, lane: int, kind: str, words: str) -> str:
        left, width = MARGIN + begin_s * scale, max(2.0, (end_s - begin_s) * scale)
        return (
            f'<rect x="{left:.1f}" y="{lane * LANE + 2}" width="{width:.1f}" height="{LANE - 4}" '
            f'style="fill:{colour(kind)}"><title>{escape(words)}</title></rect>'
        )

    def alarm(item: Heard, lane: int) -> str:
        end_s = score.length_s if item.ended_s is None else item.ended_s
        return bar(item.raised_s, end_s, lane, item.kind, f"{item.raised_s:.0f} s: {item.message}")

    bars = [
        bar(
            one.episode.onset_s,
            one.episode.end_s,
            0,
            one.episode.kind,
            f"{one.episode.kind} at {one.episode.onset_s:.0f} s, "
            + ("no alarm" if one.delay_s is None else f"{one.alarm} after {one.delay_s:.1f} s"),
        )
        for one in score.answers
    ]
    bars += [alarm(item, 1) for item in score.false] + [alarm(item, 2) for item in score.unlabelled]
    lanes = "".join(
        f'<text x="{MARGIN - 6}" y="{lane * LANE + 12}" text-anchor="end">{words}</text>'
        f'<path class="grid" d="M{MARGIN} {(lane + 1) * LANE}H{LINE_WIDTH}"/>'
        for lane, words in enumerate(("episodes", "false", "not scored"))
    )
    return (
        f"<figure><figcaption>{escape(score.record)} ({score.side}, {score.length_s / 60:.0f} min)"
        "</figcaption>"
        f'<svg viewBox="0 0 {LINE_WIDTH} {3 * LANE + 2}" role="img">{lanes}{"".join(bars)}</svg></figure>'
    )


def strip(item: Strip) -> str:
    """Waveform around one alarm, a lead below the other; the mark is when it was raised."""
    n_leads = max(1, len(item.leads))
    height = n_leads * STRIP_HEIGHT
    raised = LINE_WIDTH * item.raised_s / item.length_s
    parts = [
        f'<path class="grid" d="M{LINE_WIDTH * second / item.length_s:.1f} 0V{height}"/>'
        for second in range(math.ceil(item.length_s))
    ]
    parts.append(f'<path class="mark" d="M{raised:.1f} 0V{height}"/>')
    for place, (name, samples) in enumerate(item.leads):
        base = place * STRIP_HEIGHT
        known = samples[np.isfinite(samples)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        span = max(high - low, 0.1)
        every = max(1, math.ceil(len(samples) / STRIP_POINTS))
        pen, points = "M", []
        for at in range(0, len(samples), every):
            value = float(samples[at])
            if not math.isfinite(value):
                pen = "M"
                continue
            y = base + STRIP_HEIGHT - 8 - (value - low) / span * (STRIP_HEIGHT - 16)
            points.append(f"{pen}{LINE_WIDTH * at / len(samples):.1f} {y:.1f}")
            pen = "L"
        words = f"{name}, {span:.2g} mV from bottom to top"
        parts.append(f'<path class="trace" d="{"".join(points)}"/>')
        parts.append(f'<text x="4" y="{base + 12}">{escape(words)}</text>')
    return (
        f"<figure><figcaption>{escape(item.title)}</figcaption>"
        f'<svg viewBox="0 0 {LINE_WIDTH} {height}" role="img">{"".join(parts)}</svg></figure>'
    )
