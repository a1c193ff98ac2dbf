"""From a recipe to a trained model on disk: the task, its split, the loop, thresholds and the card."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ingest.errors import plain
from models import store
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec
from training.card import make_spec
from training.config import Recipe
from training.distributed import Group
from training.errors import BadRecipe, DataMissing
from training.layout import OWN, plain_layout
from training.loop import ALONE, Trainer
from training.recipes import RECIPES
from training.task import CACHE, Split, Task

logger = logging.getLogger(__name__)


def open_task(recipe: Recipe, data: Path, cache: Path = CACHE) -> Task:
    """The task that a recipe is for.

    Raises
    ------
    BadRecipe
        No task of that kind.
    DataMissing, BadAnnotation
        All that is wrong with the user's own records, where the recipe names some.
    """
    _open_own(recipe)
    data = plain_layout(data, cache, Path(recipe.folder.records) if recipe.folder.records else None)
    if recipe.task == "monitor":
        from training.monitor_task import MonitorTask

        return MonitorTask(recipe, data, cache)
    if recipe.task == "delineation":
        from training.delineation_task import DelineationTask

        return DelineationTask(recipe, data, cache)
    if recipe.task == "af":
        from training.af_task import AfTask

        return AfTask(recipe, data, cache)
    if recipe.task == "beats":
        from training.beats_task import BeatsTask

        return BeatsTask(recipe, data, cache)
    if recipe.task == "shock":
        from training.shock_task import ShockTask

        return ShockTask(recipe, data, cache)
    if recipe.task == "heart":
        from training.heart_task import HeartTask

        return HeartTask(recipe, data, cache)
    if recipe.task == "lung":
        from training.lung_task import LungTask

        return LungTask(recipe, data, cache)
    if recipe.task == "eeg":
        from training.eeg_task import EegTask

        return EegTask(recipe, data, cache)
    if recipe.task == "eeg-pretrain":
        from training.eeg_pretrain_task import EegPretrainTask

        return EegPretrainTask(recipe, data, cache)
    if recipe.task == "sound-pretrain":
        from training.sound_pretrain_task import PretrainTask

        return PretrainTask(recipe, data, cache)
    raise BadRecipe(f"recipe {recipe.name}: no task {recipe.task!r}")


def _open_own(recipe: Recipe) -> None:
    """Open the user's own records where a recipe names some."""
    from training.folder_source import SOURCE, open_folder

    if recipe.folder.records:
        if not recipe.own_records:
            able = ", ".join(sorted(name for name in RECIPES if RECIPES[name]().own_records))
            raise BadRecipe(f"recipe {recipe.name} reads data sets of its own; --records serves {able}")
        open_folder(recipe.folder)
    elif SOURCE in getattr(getattr(recipe, "data", None), "sources", ()):
        raise DataMissing(f"source {SOURCE!r}: which one? --records DIR, or --set folder.records=DIR")


@dataclass(frozen=True, slots=True)
class Trained:
    """A model as it was trained, with its card."""

    model: CnnLstm
    spec: ModelSpec
    thresholds: dict[str, float]


def fit(
    task: Task,
    split: Split,
    out: Path,
    *,
    device: str = "cpu",
    from_weights: str | None = None,
    progress: Callable[[Trainer], Callable[[int, float], None]] | None = None,
    group: Group = ALONE,
) -> Trained:
    """Train (or go on), choose thresholds on the validation side, write ``OUT/model``.

    Parameters
    ----------
    task : Task
        With its recipe.
    split : Split
        Sides; the test side is not touched.
    out : Path
        Folder for checkpoints, logs and the model.
    device : str
        A torch device.
    from_weights : str or None
        A model to begin with: name of a shipped one, or path.
    progress : callable or None
        Given the trainer before it starts, returns what is called after each step.
    group : Group
        The processes that train together; the first writes, all get the result.

    Raises
    ------
    BadCheckpoint, BadRecipe, DataMissing, Diverged, ModelNotFound
        See their own words.
    """
    check_sides(split)
    start = None
    if from_weights is not None:
        network, card = store.load(from_weights)
        check_start(card, split, task.recipe, task.recording)
        start = network.state_dict()
    trainer = Trainer(task, split, out, device, start, group)
    model = trainer.run(None if progress is None else progress(trainer))

    def finish() -> tuple[ModelSpec, dict[str, float]]:
        thresholds = task.thresholds(model, split.validation)
        spec = make_spec(
            task,
            trainer.state,
            thresholds,
            split,
            from_weights,
            drawn=trainer.drawn,
            device=str(trainer.device),
            processes=group.size,
        )
        return store.save(model, spec, out / "model"), thresholds

    spec, thresholds = group.from_main(finish)
    return Trained(model, spec, thresholds)


def check_sides(split: Split) -> None:
    """Refuse a split that cannot train, before anything is spent.

    Raises
    ------
    DataMissing
        No record trains, or none validates.
    BadRecipe
        A record stands on two sides.
    """
    for side in ("train", "validation"):
        if not getattr(split, side):
            raise DataMissing(f"the {side} side of the split is empty: add records of more patients")
    both = {*split.train} & {*split.validation} | {*split.train, *split.validation} & {*split.test}
    if both:
        raise BadRecipe(f"the split has {', '.join(sorted(both)[:5])} on two sides")


def check_start(card: ModelSpec, split: Split, recipe: Recipe, recording: Callable[[str], str] = str) -> None:
    """Refuse to begin with a model that has seen what is held out here: its figures would say nothing.

    A card that describes a long side by its number and hash cannot be held against a split: then it warns.

    Parameters
    ----------
    card : ModelSpec
        Of the model to begin with.
    split : Split
        Of the run.
    recipe : Recipe
        Of the run; own records of another folder are other records, whatever their names.
    recording : callable
        What tells a record from all others (:meth:`training.task.Task.recording`).

    Raises
    ------
    BadRecipe
        Names records of the test or validation side that trained the model.
    """
    same_folder = card.training.get("folder.records", "") == recipe.folder.records
    held_out = {name for name in (*split.validation, *split.test) if same_folder or name.split("/")[0] != OWN}
    seen = card.split.get("train", ())
    held_recordings = {recording(name) for name in held_out}
    both = sorted(name for name in {*seen} if recording(name) in held_recordings)
    if both:
        raise BadRecipe(
            f"--from-weights {card.name}: it was trained on {', '.join(both[:5])}"
            f"{' …' if len(both) > 5 else ''}, held out here; begin with a model that has not seen them"
        )
    hashed = {entry.split(":", 1)[0] for entry in seen if " records, sha256 " in entry}
    unsure = hashed & {name.split("/", 1)[0] for name in held_out}
    if unsure:
        logger.warning(
            "--from-weights %s: its card does not name its records of %s; is none of them held out here?",
            card.name,
            ", ".join(sorted(unsure)),
        )


def recipe_of_model(spec: ModelSpec) -> Recipe:
    """The recipe that a card tells: that of its name where there is one, with the card's own settings.

    Raises
    ------
    BadRecipe
        No recipe is known for the card's task, or a setting of the card is none for it.
    """
    of_task = [name for name in RECIPES if RECIPES[name]().task == spec.task]
    name = spec.name if spec.name in of_task else next(iter(of_task), None)
    if name is None:
        raise BadRecipe(f"model {spec.name}: no recipe for its task {spec.task!r}")
    tree = RECIPES[name]().model_dump()
    for key, value in spec.training.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            below = node.get(parent)
            node = below if isinstance(below, dict) else {}
        # A setting of an older version, or one that only tells how the training went, has no place there.
        if last in node and not isinstance(node[last], dict):
            node[last] = value
    tree |= {"name": spec.name, "description": spec.description}
    tree["architecture"] = spec.architecture.model_dump()
    try:
        return type(RECIPES[name]()).model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRecipe(f"card of {spec.name}: training.{where}: {plain(first['msg'])}") from error


def on_own_records(spec: ModelSpec, records: Path, labels: Path | None) -> ModelSpec:
    """A model's card as if it had been trained on a user's own records: to score it on them.

    Parameters
    ----------
    spec : ModelSpec
        Stays as it is.
    records, labels : Path, Path or None
        As :class:`training.config.FolderConfig` has them.
    """
    own = {
        "folder.records": str(records.resolve()),
        "folder.labels": "" if labels is None else str(labels.resolve()),
        "data.sources": ["folder"],
    }
    return spec.model_copy(update={"training": spec.training | own})


def task_of_model(spec: ModelSpec, data: Path, cache: Path = CACHE) -> Task:
    """The task that a model was trained for."""
    return open_task(recipe_of_model(spec), data, cache)


def thresholds_of(spec: ModelSpec) -> dict[str, float]:
    """What was chosen on validation patients, as :meth:`training.task.Task.thresholds` gave it."""
    gains = zip(spec.step_classes[1:], spec.beat_gains, strict=False)
    return spec.thresholds | {f"gain_{name}": gain for name, gain in gains}
