"""What the engine is asked to do. Its fields are the flags of every ``gentool train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pydantic

from gentool.file_fields import not_empty
from gentool.options import Field, Options

DataList = Annotated[
    list[Annotated[str, pydantic.AfterValidator(not_empty)]],
    # recipes and provenance keep names, never folders
    pydantic.PlainSerializer(lambda paths: [_name(path) for path in paths], list[str]),
]


def _name(path: str) -> str:
    """``b.tar:train/`` of ``a/b.tar:train/``."""
    before, colon, prefix = path.rpartition(":") if not Path(path).exists() else (path, "", "")
    return Path(before or path).resolve().name + colon + (prefix if before else "")


class Plan(Options):
    """How long, how, and how often what."""

    data: DataList = Field(
        [],
        description="Pictures to train on: folders, .tar, .tar.gz, .tar.bz2, .tar.xz or .zip "
        "archives, or a part of one as ARCHIVE:PREFIX",
        json_schema_extra={"format": "path"},
    )
    steps: int | None = Field(None, ge=1, description="Steps in all, over every resume")
    epochs: float | None = Field(None, gt=0, description="Passes over the first data set in all")
    minutes: float | None = Field(None, gt=0, description="Minutes of training in all")
    batch_size: int = Field(16, ge=1, description="Pictures in a batch, on each device")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients make one step")
    mirror: bool = Field(
        True, description="Mirror each picture in half of the passes; not for letters and logos"
    )
    lr_schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="How learning rates fall over the training"
    )
    lr_warmup: int = Field(
        0, ge=0, description="Steps over which learning rates rise from zero first"
    )
    lr_final: float = Field(
        0.0, ge=0, le=1, description="Learning rate at the end, as a share of the highest"
    )
    clip: float | None = Field(None, gt=0, description="Largest norm of an update's gradients")
    ema: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the weights' moving average, which is what is saved; 0 for none",
    )
    compile: bool = Field(False, description="Compile the networks (needs a C++ compiler)")
    channels_last: bool = Field(True, description="Lay tensors out with channels last")
    devices: int = Field(1, ge=1, description="Processes on this machine, one for each device")
    cache: Literal["auto", "none", "ram", "device"] = Field(
        "auto", description="Where decoded pictures are kept; auto: where they fit"
    )
    workers: int | None = Field(
        None, ge=0, le=256, description="Processes that prepare each data set (default: by cores)"
    )
    resume: bool = Field(False, description="Go on from the last checkpoint in the folder")
    allow_changes: bool = Field(False, description="Resume although flags have changed")
    checkpoint_every: int = Field(500, ge=0, description="Steps between checkpoints, 0 for none")
    keep: int = Field(2, ge=1, description="Checkpoints to keep, besides the best")
    preview_every: int = Field(
        1000,
        ge=0,
        description="Steps between previews, 0 for none; there is one at the end as well",
    )
    log_every: int = Field(50, ge=1, description="Steps between lines of the log")
    tensorboard: bool = Field(False, description="Write TensorBoard files as well")
    profile: bool = Field(
        False, description="Report FLOP/s as a share of what the device can do at best"
    )

    def hyper(self) -> dict[str, object]:
        """The fields that decide the result; what may differ on resume is left out."""
        return self.model_dump(
            mode="json",
            include={
                *("data", "steps", "epochs", "minutes", "batch_size", "accumulate", "ema"),
                *("lr_schedule", "lr_warmup", "lr_final", "clip", "mirror"),
            },
            exclude_none=True,
        )
