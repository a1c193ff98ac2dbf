"""What the tasks of sounds share: their networks see log-mel frames."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar

from models.spec import Conv2dFrontEnd, MelFrames
from training.errors import BadRecipe
from training.task import Task


class SoundTask(Task):
    """Windows of sounds as spectrograms; see :class:`~training.task.Task`."""

    needs: ClassVar[str] = "needs"
    """Begin of what a recipe without log-mel frames is told."""

    @cached_property
    def front_end(self) -> Conv2dFrontEnd:
        """The network's front end over spectrograms.

        Raises
        ------
        BadRecipe
            It is none of log-mel frames.
        """
        config = self.recipe.architecture.front_end
        if not isinstance(config, Conv2dFrontEnd) or config.mel is None:
            raise BadRecipe(f"recipe {self.recipe.name}: {self.needs} a conv2d front end with mel frames")
        return config

    def recording(self, name: str) -> str:
        """A recording's own name: sets are published in several layouts, and lie in folders of any name."""
        return PurePosixPath(name).stem

    @property
    def mel(self) -> MelFrames:
        """How sound becomes frames."""
        assert self.front_end.mel is not None
        return self.front_end.mel

    @property
    def step_s(self) -> float:
        """Seconds a step."""
        return self.front_end.stride / self.mel.rate_hz
