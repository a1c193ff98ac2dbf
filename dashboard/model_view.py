"""One model's card as a page: plain words first, then figures, curves and where they come from."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from dashboard import model_cards, model_sounds
from dashboard.model_cards import Card, class_word, percent, plain
from dashboard.model_charts import calibration_chart, confusion_chart, curve_chart
from dashboard.system_state import SystemSnapshot
from models.curves import Classification
from models.spec import ModelSpec
from models.verdict import VerdictSpec


def overview(cards: Sequence[Card], snapshot: SystemSnapshot) -> None:
    """A row a model: what for, whether it is live, the figures that tell most."""
    rows = [
        {
            "Model": card.spec.name,
            "Now": _now(card, snapshot),
            "What it says": card.spec.description,
            "Key figures": model_cards.key_figures(card.spec),
        }
        for card in cards
    ]
    # As wide as its longest words from the begin: a table keeps the widths that it had when it was drawn.
    now = st.column_config.TextColumn(width=170)
    st.dataframe(rows, hide_index=True, width="stretch", column_config={"Now": now}, alt="All models")


def _now(card: Card, snapshot: SystemSnapshot) -> str:
    return model_cards.live_word(card.spec, snapshot) if card.intact else "WEIGHTS ARE NOT THOSE OF THE CARD"


def live_line(card: Card, snapshot: SystemSnapshot) -> None:
    """Say whether these very weights are in use."""
    own, others = model_cards.live_in(card.spec, snapshot)
    if others:
        st.error(f"Other weights run under this name in {len(others)} processes: the figures are not theirs.")
    elif own:
        st.text(f"Live now in {', '.join(own)}, with these very weights.")
    else:
        early = model_cards.listens(snapshot)
        st.text("Listening for who runs it." if early else "Not running now.")


def show(card: Card) -> None:
    """Show one card."""
    spec = card.spec
    st.text(spec.description)
    if not card.intact:
        st.error("The weights beside this card are missing or not those that it names (SHA-256).")
    left, right = st.columns(2)
    with left:
        _use(spec)
    with right:
        _in_words(card)
    names = [
        "Figures",
        "Confusion",
        "ROC and precision",
        "Calibration",
        "Training",
        "Data and patients",
        "Files",
    ]
    parts = [_figures, _confusion, _roc, _calibration, _training, _data, _files]
    for tab, part in zip(st.tabs(names), parts, strict=True):
        with tab:
            part(card)


def _title(text: str) -> None:
    """A title that may come from a file."""
    st.html(f"<b>{html.escape(text)}</b>")


def _use(spec: ModelSpec | VerdictSpec) -> None:
    st.markdown("**Intended use and limits**")
    lines = [model_cards.NEVER, *spec.caveats]
    # st.text: a card of one's own may hold anything.
    st.text("\n".join(f"• {line}" for line in lines if line != spec.notice))


def _in_words(card: Card) -> None:
    """What the figures mean for a physician, class by class."""
    judges = isinstance(card.spec, VerdictSpec)
    if isinstance(card.spec, ModelSpec) and model_sounds.of_sound(card.spec):
        _sounds_in_words(card.spec)
        return
    st.markdown(
        f"**How well it does, {'cross-validated' if judges else 'on patients that it never trained on'}**"
    )
    questions = model_cards.questions(card.spec.metrics)
    if not questions:
        figures = {name: plain(figure) for name, figure in card.spec.metrics.items()}
        st.text(
            "\n".join(f"• {name.replace('_', ' ')}: {text}" for name, text in figures.items())
            or "No figures."
        )
        return
    question, classes = next(iter(questions.items()))
    st.caption(f"{question.replace('_', ' ').capitalize()}; 95 % intervals in brackets, by patients.")
    rows = [
        {
            "Class": class_word(name, card.spec),
            "Of the true ones it finds": percent(figures["recall"]),
            "Of what it calls so, is so": percent(figures["precision"]) if "precision" in figures else "–",
            "True ones tested": figures["recall"].n,
        }
        for name, figures in classes.items()
        if "recall" in figures
    ]
    st.dataframe(rows, hide_index=True, width="stretch", alt="How well it does")
    if words := model_cards.shockable_words(card.spec.metrics):
        st.text(words)


def _sounds_in_words(spec: ModelSpec) -> None:
    """What the figures of a network for sounds mean, and by which device they were recorded."""
    pooled = model_sounds.best(spec.metrics)[1]
    whose = "cross-validated by patient" if pooled else "on patients that it never trained on"
    st.markdown(f"**How well it does, {whose}**")
    # A table, not a grid: whole words, that wrap.
    st.table(model_sounds.rows(spec) or [{"What": "No figures."}])
    devices = model_sounds.device_rows(spec)
    if devices:
        st.markdown("**By recording device**")
        st.table(devices)
    elif spec.task == "lung":
        st.caption("By recording device: not in this card (docs/results/lung.md).")


def _figures(card: Card) -> None:
    for question, classes in model_cards.questions(card.spec.metrics).items():
        _title(question.replace("_", " ").capitalize())
        rows = [
            {
                "Class": class_word(name, card.spec),
                **{
                    word: plain(figures[what]) if what in figures else "–"
                    for what, word in model_cards.FIGURES.items()
                },
                "n": next(iter(figures.values())).n,
            }
            for name, figures in classes.items()
        ]
        st.dataframe(rows, hide_index=True, width="stretch", alt=question)
    rest = model_cards.rest(card.spec.metrics)
    if rest:
        st.markdown("**All others**")
        rows = [
            {"Figure": name.replace("_", " "), "Value (95 % interval)": plain(figure), "n": figure.n}
            for name, figure in rest.items()
        ]
        st.dataframe(
            rows, hide_index=True, width="stretch", height=400 if len(rows) > 11 else "auto", alt="Figures"
        )


def _classifications(card: Card) -> tuple[Classification, ...]:
    """What is drawn; says how to get it where there is none."""
    if card.curves_problem:
        st.warning(f"The curves beside this card cannot be used: {card.curves_problem}")
    if card.curves is None:
        command = (
            "wardwave verdict crossval --data DATA --out REPORT"
            if isinstance(card.spec, VerdictSpec)
            else f"wardwave evaluate {card.spec.name} DATA --update-curves"
        )
        st.text(f"Not in this card. The command that makes it: {command}")
        return ()
    drawn = f"Drawn from the test patients with code {card.curves.code_commit} ({card.curves.made})."
    measured = card.spec.metrics_code_commit if isinstance(card.spec, ModelSpec) else ""
    if measured != card.curves.code_commit:
        drawn += f" The card's figures are by {measured or 'older code'}: they may differ."
    st.caption(drawn)
    return card.curves.classifications


def _confusion(card: Card) -> None:
    for one in _classifications(card):
        _title(one.title.capitalize())
        unit = "weighted items" if one.weighted else "items"
        st.caption(f"{one.items:,} {unit} of {one.patients} patients; each row sums to 100 %.")
        st.text(", ".join(class_word(item.name, card.spec) for item in one.classes))
        st.altair_chart(confusion_chart(one), width="content")


def _roc(card: Card) -> None:
    for one in _classifications(card):
        _title(one.title.capitalize())
        left, right = st.columns(2)
        with left:
            st.caption("ROC: share of the true found against share of false alarms; dots: where it decides.")
            st.altair_chart(curve_chart(one, "roc", "false positive rate", "sensitivity"), width="content")
        with right:
            st.caption("Precision against sensitivity; dots: where it decides.")
            st.altair_chart(curve_chart(one, "pr", "sensitivity", "precision"), width="content")


def _calibration(card: Card) -> None:
    for one in _classifications(card):
        _title(one.title.capitalize())
        st.caption(
            "When it says 80 %, is it so in 80 of 100? On the dotted line it is; below it, too sure. The "
            "larger a dot, the more items."
        )
        st.altair_chart(calibration_chart(one.classes), width="content")


def _training(card: Card) -> None:
    spec = card.spec
    curves = model_cards.history(spec)
    if not curves:
        st.text(
            "Not in this card: how the training went. The command that keeps it while the run's logs are "
            "there: wardwave evaluate RUN/model DATA --update-card"
        )
    for group, values in curves.items():
        shown = [name for name in values if name not in ("step", "lr")]
        frame = pd.DataFrame(values).melt("step", shown, "figure", "value")
        _title("Losses" if group == "losses" else "Validation patients")
        chart = (
            alt.Chart(frame).mark_line().encode(x="step:Q", y=alt.Y("value:Q", title=None), color="figure:N")
        )
        st.altair_chart(chart.properties(height=260), width="stretch")
    rows = [
        {"Setting": name, "Value": str(value)}
        for name, value in spec.training.items()
        if not name.startswith("history.")
    ]
    st.dataframe(rows, hide_index=True, width="stretch", height=300, alt="Settings of the training")


def _data(card: Card) -> None:
    spec = card.spec
    st.text(f"Data: {spec.data}")
    rows = model_cards.sides(spec)
    if isinstance(spec, VerdictSpec):
        st.text("Cross-validated by record: CinC 2015 does not tell which records are of one patient.")
    else:
        st.text("Split by patient; by record where a data set does not tell its patients (CinC 2017).")
    st.dataframe(rows, hide_index=True, width="stretch", alt="Who stood on which side")


def _files(card: Card) -> None:
    spec = card.spec
    size = "missing" if card.size_bytes is None else f"{card.size_bytes:,} bytes"
    rows = [("card", card.path.name), ("weights", f"{card.path.stem}.safetensors, {size}")]
    rows += [("SHA-256 in the card", spec.sha256), ("weights are those", "yes" if card.intact else "NO")]
    rows += [("made by code", spec.code_commit), ("format", spec.schema_version)]
    if isinstance(spec, ModelSpec):
        rows += [("figures by code", spec.metrics_code_commit or "that which made it")]
        rows += _network(spec)
    else:
        rows += [("beats of", f"{spec.beats_model}, SHA-256 {spec.beats_sha256}")]
        rows += [
            (
                f"threshold, {name.replace('_', ' ')}",
                f"{kind.threshold:.3f} over {len(kind.features)} numbers",
            )
            for name, kind in spec.kinds.items()
        ]
    st.dataframe(
        [{"What": name, "Value": value} for name, value in rows],
        hide_index=True,
        width="stretch",
        height="content",
        alt="Files",
    )


def _network(spec: ModelSpec) -> list[tuple[str, str]]:
    cost, (low_hz, high_hz) = spec.cost, spec.band_hz
    step = f"{1e3 * spec.step_s:g} ms" if math.isfinite(spec.step_s) and spec.step_s else "a beat"
    return [
        (
            "input",
            f"{spec.signal}, {spec.channels} lead, {spec.fs_hz:g} Hz, band {low_hz:g} to {high_hz:g} Hz",
        ),
        ("window", f"{spec.window_s:g} s each {spec.hop_s:g} s, a step is {step}"),
        ("scaling", spec.normalisation),
        ("size", f"{cost.parameters:,} parameters, {cost.mflop_per_window:g} MFLOP a window"),
        ("thresholds", ", ".join(f"{name} {value:g}" for name, value in spec.thresholds.items())),
    ]
