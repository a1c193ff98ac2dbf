"""The verdict on ICU alarms: split, folds, fit and score of CinC 2015, real-time rule.

It is fitted in closed form, not trained in steps, so it has no part in the training loop; the words are the
same as those of :class:`training.task.Task`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inference.verdict_beats import SLOPE, BeatSource, MonitorBeats, SlopeBeats
from inference.verdict_views import AlarmViews
from models import store
from models.verdict import KINDS, KindSpec, KindWeights, Verdict, VerdictSpec, cost_threshold
from models.verdict_features import verdict_features
from models.verdict_leads import VIEW_S, WideFloatArray
from training.card import code_commit, describe_side, flatten
from training.errors import BadRecipe, DataMissing
from training.evaluation import Evaluation, Strip, pool
from training.splits import side_of
from training.task import CACHE, Names, Split
from training.verdict_config import BROAD, VerdictRecipe
from training.verdict_fit import fit_kind, rule_kind
from training.verdict_records import SOURCE, Alarm, load_views, read_alarms
from training.verdict_scores import describe, predictions_of

CAVEATS = (
    "Research software, no medical device.",
    "Fitted on 292 alarms of 750: true asystole (8) and ventricular flutter or fibrillation (4) are few.",
    "Folds are by record: CinC 2015 does not tell which records are of one patient.",
    "Fitted on the beats and window probabilities of one monitor model; with another it must be fitted anew.",
)
WORST = 6

logger = logging.getLogger(__name__)


class VerdictTask:
    """Judges alarms of ``data/cinc2015`` by what was there when they sounded.

    Parameters
    ----------
    recipe : VerdictRecipe
        All settings.
    data : Path
        Folder that holds ``cinc2015``.
    cache : Path
        Where views of alarms are kept.

    Raises
    ------
    DataMissing, ModelNotFound
        No alarms, or not the model whose beats are asked for.
    """

    def __init__(self, recipe: VerdictRecipe, data: Path, cache: Path = CACHE) -> None:
        self.recipe, self.data, self.cache = recipe, data, cache
        self.alarms = {alarm.name: alarm for alarm in read_alarms(data)}
        self.beats_name, self.beats_sha256 = recipe.beats, ""
        self.notes: tuple[str, ...] = ()
        self.beats = SlopeBeats() if recipe.beats == SLOPE else self._monitor(recipe.beats)
        self._rows: dict[tuple[str, float], WideFloatArray] = {}
        self._columns: tuple[str, ...] = ()

    def _monitor(self, name_or_path: str) -> BeatSource:
        model, spec = store.load(name_or_path)
        self.beats_name, self.beats_sha256 = spec.name, spec.sha256
        if SOURCE in str(spec.training.get("data.sources")):
            # Its answers on what it has learned from are better than on any other bed.
            self.notes = (f"{spec.name} has learned from {SOURCE}: these figures are too good.",)
            logger.warning("%s", self.notes[0])
        return MonitorBeats(model, spec)

    def split(self) -> Split:
        """The fixed split by the hash of the record's name (:mod:`training.splits`)."""
        sides = {name: side_of(*name.split("/", 1)) for name in self.alarms}

        def side(wanted: str) -> Names:
            return tuple(name for name, found in sides.items() if found == wanted)

        return Split(side("train"), side("validation"), side("test"))

    def everything(self) -> Split:
        """All alarms to fit on, none to score: the shipped model, whose figures are those of the folds."""
        return Split(tuple(self.alarms), (), ())

    def folds(self, k: int, seed: int | None = None) -> list[Split]:
        """``k`` splits by record, kinds and truths spread evenly.

        Nothing is chosen beside the weights, so a fold has no validation side.

        Raises
        ------
        BadRecipe
            Fewer than two folds, or more than there are alarms.
        """
        if not 2 <= k <= len(self.alarms):
            raise BadRecipe(f"{k} folds of {len(self.alarms)} alarms: take 2 to {len(self.alarms)}")
        rng = np.random.default_rng(self.recipe.seed if seed is None else seed)
        fold: dict[str, int] = {}
        for kind in KINDS:
            for true in (False, True):
                own = [a.name for a in self.alarms.values() if a.kind == kind and a.true == true]
                first = int(rng.integers(k))
                fold |= {own[j]: (first + i) % k for i, j in enumerate(rng.permutation(len(own)).tolist())}
        return [
            Split(
                tuple(name for name in self.alarms if fold[name] != i),
                (),
                tuple(name for name in self.alarms if fold[name] == i),
            )
            for i in range(k)
        ]

    def views(self, names: Names, early_s: float = 0.0) -> list[AlarmViews]:
        """What was there when the alarms sounded, or ``early_s`` before."""
        alarms = [self._alarm(name) for name in names]
        return load_views(self.data, alarms, self.beats, self.cache, early_s)

    def _alarm(self, name: str) -> Alarm:
        if name not in self.alarms:
            raise BadRecipe(f"no alarm {name!r} in {self.data / SOURCE / 'ALARMS'}")
        return self.alarms[name]

    def rows(self, names: Names, early_s: float = 0.0) -> WideFloatArray:
        """Numbers of alarms, (n_alarms, n_columns), made once; the columns are :attr:`columns`.

        Raises
        ------
        DataMissing
            No names, or a record of them is not there.
        """
        missing = tuple(name for name in names if (name, early_s) not in self._rows)
        if missing or not names:
            for name, view in zip(missing, self.views(missing, early_s), strict=True):
                self._columns, row = verdict_features(view.leads, view.pulses if self.recipe.pulses else ())
                self._rows[name, early_s] = row
        return np.stack([self._rows[name, early_s] for name in names])

    def prepare(self) -> None:
        """Make the numbers of all alarms under a progress bar: minutes where the cache is empty."""
        moments = [(name, early_s) for early_s in {0.0, *self.recipe.early_s} for name in self.alarms]
        with tqdm(sorted(moments), desc=f"beats by {self.beats_name}", unit="record") as bar:
            for name, early_s in bar:
                self.rows((name,), early_s)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers."""
        if not self._columns:
            self.rows(tuple(self.alarms)[:1])
        return self._columns

    def features_of(self, kind: str) -> tuple[str, ...]:
        """Numbers that a kind of alarm is judged by.

        Raises
        ------
        BadRecipe
            The recipe names a number that there is not.
        """
        if self.recipe.head == "rules":
            return (f"evidence/{kind}",)
        found: list[str] = []
        for name in self.recipe.kinds[kind].features:
            found += self._broad() if name == BROAD else [name]
        unknown = [name for name in found if name not in self.columns]
        if unknown:
            raise BadRecipe(f"kinds.{kind}.features: there is no number {unknown[0]!r}")
        return tuple(found)

    def _broad(self) -> list[str]:
        without = self.recipe.not_broad
        begun = [column for column in self.columns if column.startswith(self.recipe.broad)]
        return [column for column in begun if not any(part in column for part in without)]

    def fit(self, split: Split) -> Verdict:
        """Fit on the training and validation sides (nothing is chosen on the latter).

        Raises
        ------
        DataMissing
            A kind of alarm has no true, or no false one, to learn from.
        """
        names = split.train + split.validation
        learned = self.recipe.head == "learned"
        threshold = cost_threshold(self.recipe.expected_score) if learned else 0.5
        weights, specs = {}, {}
        for kind in KINDS:
            features = self.features_of(kind)
            weights[kind] = self._fit_kind(kind, features, names) if learned else rule_kind()
            specs[kind] = KindSpec(features=features, threshold=threshold)
        spec = VerdictSpec(
            name=self.recipe.name,
            description=self.recipe.description,
            beats_model=self.beats_name,
            beats_sha256=self.beats_sha256,
            kinds=specs,
            data="PhysioNet cinc2015, up to the alarm at 5:00",
            split={side: describe_side(getattr(split, side)) for side in ("train", "validation", "test")},
            caveats=CAVEATS,
            training=flatten(self.recipe.model_dump(exclude={"name", "description"})),
            code_commit=code_commit(),
        )
        return Verdict(spec, weights)

    def _fit_kind(self, kind: str, features: tuple[str, ...], names: Names) -> KindWeights:
        own = tuple(name for name in names if self._alarm(name).kind == kind)
        if not own:
            raise DataMissing(f"no alarm of kind {kind} to learn from")
        columns = [self.columns.index(name) for name in features]
        early = self.recipe.early_s
        values = np.concatenate([self.rows(own, early_s)[:, columns] for early_s in early])
        truth = np.tile([self.alarms[name].true for name in own], len(early))
        try:
            # An alarm seen twice is still one alarm: the prior weighs as much as before.
            return fit_kind(values, truth, self.recipe.kinds[kind].variance / len(early))
        except DataMissing as error:
            raise DataMissing(f"{kind}: {error}") from error

    def evaluate(self, model: Verdict, names: Names) -> Evaluation:
        """Score held-out alarms."""
        values = self.rows(names)
        alarms = [self.alarms[name] for name in names]
        probability = np.zeros(len(names))
        threshold = np.array([model.spec.kinds[alarm.kind].threshold for alarm in alarms])
        for kind in KINDS:
            own = np.array([alarm.kind == kind for alarm in alarms])
            if own.any():
                probability[own] = model.probability(kind, self.columns, values[own])
        predictions = predictions_of(
            [f"{alarm.name} {alarm.kind}" for alarm in alarms],
            np.array([int(alarm.true) for alarm in alarms], dtype=np.int64),
            probability,
            (probability >= threshold).astype(np.int64),
        )
        far = np.abs(probability - predictions.truth) * (predictions.truth != predictions.decided)
        worst = [i for i in np.argsort(-far, kind="stable")[:WORST].tolist() if far[i] > 0]
        strips = [self._strip(alarms[i], float(probability[i])) for i in worst]
        return describe(predictions, self.notes, strips)

    def _strip(self, alarm: Alarm, probability: float) -> Strip:
        leads = self.views((alarm.name,))[0].leads
        last = round(VIEW_S * 125.0)
        title = f"{alarm.name} {alarm.kind}, {'true' if alarm.true else 'false'}, judged {probability:.2f}"
        return Strip(title, 125.0, np.stack([lead.signal[-last:] for lead in leads]))

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Pool the out-of-fold verdicts."""
        strips = [strip for part in parts for strip in part.strips]
        return describe(pool([part.predictions[0] for part in parts]), self.notes, strips[:WORST])

    def crossval(self, k: int, seed: int | None = None) -> Evaluation:
        """Fit and score ``k`` folds, pooled."""
        return self.merge([self.evaluate(self.fit(split), split.test) for split in self.folds(k, seed)])
