"""Score a model on one side of its task's split and gather what the report shows."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch

from ingest.version import libraries
from models import curves, store
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec
from training.card import code_commit
from training.errors import DataMissing
from training.evaluation import Evaluation
from training.report import Facts, Report, summaries_of
from training.report_history import card_settings, history_of
from training.report_json import to_curves
from training.report_strips import worst_strips
from training.report_summary import card_metrics
from training.session import on_own_records, task_of_model, thresholds_of
from training.task import Names

PACKAGES: Final = ("torch", "numpy", "scipy", "wfdb")


@dataclass(frozen=True, slots=True)
class Scored:
    """A model with what one side of its split says of it."""

    model: CnnLstm
    spec: ModelSpec
    names: Names
    evaluation: Evaluation


def side_names(spec: ModelSpec, data: Path, side: str) -> Names:
    """Records of one side of a model's split that are there.

    Raises
    ------
    DataMissing
        The folder is not there, or no record of this side is in it.
    """
    if not data.is_dir():
        raise DataMissing(f"{data}: no such folder; name the one that holds mitdb, vfdb, …")
    names: Names = getattr(task_of_model(spec, data).split(), side)
    if not names:
        raise DataMissing(f"{data}: no record of the {side} side of {spec.name} in it")
    return names


def score(
    model_name: str,
    data: Path,
    side: str,
    device: str = "cpu",
    names: Names | None = None,
    own: tuple[Path, Path | None] | None = None,
) -> Scored:
    """Load a model and score it by its task.

    Parameters
    ----------
    model_name : str
        Of a shipped model, or the path of a card.
    data : Path
        Folder that holds one folder a data set.
    side : str
        ``train``, ``validation`` or ``test``.
    names : tuple of str or None
        Only these records, where given.
    own : tuple of Path and Path or None, or None
        Score a user's own records instead: their folder and label map. All of them, but for a model that
        was trained on that folder.

    Raises
    ------
    DataMissing
        The folder is not there, or no record of this side is in it.
    """
    model, spec = store.load(model_name, device)
    asked = spec if own is None else on_own_records(spec, *own)
    unseen = own is not None and spec.training.get("folder.records") != asked.training["folder.records"]
    if names is None and unseen:
        split = task_of_model(asked, data).split()
        names = (*split.train, *split.validation, *split.test)
    scored = side_names(asked, data, side) if names is None else names
    evaluation = task_of_model(asked, data).evaluate(model, thresholds_of(spec), scored)
    return Scored(model, spec, scored, evaluation)


def _device(name: str) -> str:
    if name.startswith("cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(name)
    return f"{torch.get_num_threads()} CPU threads of {os.cpu_count()}, {platform.machine()}"


def gather(
    scored: Scored,
    *,
    side: str,
    data: Path,
    device: str,
    command: str,
    seconds: float,
    card: Path,
    signals: Path | None = None,
) -> Report:
    """Figures, strips of the worst records, history and where all that comes from.

    Parameters
    ----------
    seconds : float
        That the scoring took.
    card : Path
        Of the model: its folder may hold the logs of its training.
    signals : Path or None
        Folder that the strips are read from, where it is another than ``data``.
    """
    began = time.monotonic()
    evaluation = scored.evaluation
    summaries = summaries_of(evaluation)
    # Strips are cut from WFDB records; sounds and EEG have none.
    if not evaluation.strips and scored.spec.signal not in ("sound", "eeg"):
        evaluation = replace(evaluation, strips=worst_strips(summaries, signals or data, scored.spec))
    facts = Facts(
        f"{side} patients",
        dict(Counter(name.split("/", 1)[0] for name in scored.names)),
        scored.names,
        str(data.resolve()),
        command,
        code_commit(),
        round(seconds + time.monotonic() - began, 1),
        _device(device),
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        libraries(*PACKAGES),
    )
    return Report(scored.spec, facts, evaluation, summaries, history_of(card, scored.spec))


def update_curves(report: Report, card: Path) -> Path:
    """Write the curves of the report beside the model's card; its figures stay as they are."""
    return curves.save(
        curves.ModelCurves(
            name=report.spec.name,
            sha256=report.spec.sha256,
            code_commit=report.facts.commit,
            made=report.facts.made,
            classifications=tuple(to_curves(one) for one in report.summaries),
        ),
        card,
    )


def update_card(report: Report, scored: Scored, side: str, card: Path) -> ModelSpec:
    """Write the report's figures, and the training's history, into the model's card.

    Parameters
    ----------
    side : str
        Figures of another side than ``test`` begin with its name.
    """
    prefix = "" if side == "test" else f"{side}_"
    new = {prefix + name: f for name, f in card_metrics(report.evaluation, report.summaries).items()}
    # What a classification no longer gives (an interval of too few patients) would be a figure of older code.
    again = tuple(f"{prefix}{one.key}_" for one in report.summaries)
    kept = {name: figure for name, figure in scored.spec.metrics.items() if not name.startswith(again)}
    changes = {
        "metrics": kept | new,
        "training": scored.spec.training | card_settings(report.history),
        "metrics_code_commit": report.facts.commit,
    }
    spec = scored.spec.model_copy(update=changes)
    store.save_card(spec, card.parent)
    return spec
