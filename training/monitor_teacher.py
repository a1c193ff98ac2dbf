"""What a trained monitor says of training windows: a target beside the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from models import store
from models.cnn_lstm import CnnLstm, Output
from models.spec import STEP_CLASSES
from training.config import Recipe
from training.errors import BadRecipe
from training.session import check_start
from training.task import Split


def features_of(model: CnnLstm, x_BCN: Tensor, early_steps: int) -> Tensor:
    """Features of a window's steps (B, F, T), the signal before it seen by the convolutions alone."""
    features_BFT: Tensor = model.front_end(x_BCN)
    return features_BFT[:, :, early_steps:]


class Teacher:
    """A trained monitor.

    Parameters
    ----------
    model : str
        Name or path.
    split : Split
        Of the network that learns from it.
    recipe : Recipe
        That network's.

    Raises
    ------
    BadRecipe
        The teacher has seen what is held out here, or says other things.
    ModelNotFound
        There is no such model.
    """

    def __init__(self, model: str, split: Split, recipe: Recipe) -> None:
        self._network, card = store.load(model)
        check_start(card, split, recipe)
        mine, its = recipe.architecture, self._network.config
        if (mine.front_end.stride, card.step_classes) != (its.front_end.stride, STEP_CLASSES):
            raise BadRecipe(f"teacher.model={model}: its steps are not those of recipe {recipe.name}")
        self._network.eval()
        self._early = mine.early_steps
        self._same_front: bool | None = None

    def __call__(self, learner: CnnLstm, x_BCN: Tensor, features_BFT: Tensor) -> Output:
        """What it says of windows.

        Parameters
        ----------
        learner : CnnLstm
            The network that learns.
        x_BCN, features_BFT : Tensor
            The windows, and the learner's :func:`features_of` them: the teacher's own where its front end is
            held still in the learner.
        """
        with torch.no_grad():
            if self._same_front is None:
                self._network.to(x_BCN.device)
                self._same_front = self._shares_front(learner)
            if not self._same_front:
                features_BFT = features_of(self._network, x_BCN, self._early)
            said: Output = self._network.head_outputs(features_BFT)
            return said

    def _shares_front(self, learner: CnnLstm) -> bool:
        """Whether the learner's front end is the teacher's, and stays so."""
        own, its = self._network.front_end.state_dict(), learner.front_end.state_dict()
        return (
            not learner.front_end.training
            and not any(p.requires_grad for p in learner.front_end.parameters())
            and list(own) == list(its)
            and all(torch.equal(own[name], its[name]) for name in own)
        )
