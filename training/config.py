"""Parts that every recipe has: typed, immutable, unknown keys refused."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.spec import NAME, Architecture


class Part(BaseModel):
    """Base of all parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class OptimizerConfig(Part):
    """How weights are moved; an exponential average of them is what is validated and kept."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=3e-3, gt=0, le=1)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd (Nesterov)")
    weight_decay: float = Field(default=0.02, ge=0)
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    warmup_steps: int = Field(default=150, ge=0)
    plateau_factor: float = Field(
        default=0.3, gt=0, lt=1, description="plateau: the rate times this after a worse validation"
    )
    steps: int = Field(default=5000, ge=1)
    batch: int = Field(default=128, ge=1, le=65_536)
    clip: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.998, ge=0, lt=1)
    freeze: tuple[str, ...] = Field(
        default=(), description="parts of the network that are held still (front_end, …), for fine-tuning"
    )


class RunConfig(Part):
    """Seeds, threads, and how often things happen (in steps)."""

    seed: int = Field(default=7, ge=0, lt=2**40)
    threads: int = Field(default=2, ge=1, le=256)
    workers: int = Field(default=0, ge=0, le=64, description="processes that make batches ahead; 0: none")
    amp: bool = Field(default=False, description="mixed precision (bfloat16), on a GPU only")
    validate_every: int = Field(default=1250, ge=1)
    checkpoint_every: int = Field(default=250, ge=1)
    log_every: int = Field(default=25, ge=1)
    patience: int = Field(default=6, ge=1, description="validations without a better one before it stops")
    rehearse: bool = Field(
        default=True, description="validate before the first step, so that what would fail fails at once"
    )
    tensorboard: bool = Field(default=False, description="write TensorBoard events beside the CSV log")


class FolderConfig(Part):
    """A user's own WFDB records: the data source ``folder`` (:mod:`training.folder_source`)."""

    records: str = Field(default="", description="folder of WFDB records; empty: there is none")
    labels: str = Field(
        default="", description="TOML file of labels, patients, split; empty: WFDB's own codes"
    )


class Recipe(Part):
    """All that makes a model: same recipe, same data, same code, same loss curve.

    Each task has a subclass with its own parts (data, augmentation, loss).
    """

    task: ClassVar[str] = ""
    own_records: ClassVar[bool] = False
    """Whether the task reads the source ``folder``, a user's own records."""
    name: str = Field(pattern=NAME, max_length=100, description="of the model: its files and card bear it")
    description: str
    architecture: Architecture = Architecture()
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()
    folder: FolderConfig = FolderConfig()
