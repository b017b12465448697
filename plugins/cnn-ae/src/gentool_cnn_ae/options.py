"""Options of the codec's actions and of its training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import field_validator

from gentool import Field, ImageFiles, Options, PathList

LEVELS = 8  # of quality


Quality = Annotated[
    int, Field(ge=1, le=LEVELS, description="1 for the smallest file to 8 for the best picture")
]


class CompressOptions(Options):
    input: ImageFiles = Field(
        description="Picture to compress: a file, several, a folder or a glob"
    )
    quality: Quality = 5


class DecompressOptions(Options):
    input: PathList = Field(
        description="What compress made: a .gta file, several, or a folder of them",
        json_schema_extra={"made_by": "compress"},
    )

    @field_validator("input")
    @classmethod
    def _inside_folders(cls, given: list[Path]) -> list[Path]:
        found = []
        for path in given:
            inside = [path]
            try:
                if not path.exists():
                    raise ValueError(f"no such file: {path}")
            except OSError as e:
                raise ValueError(f"{path}: {e.strerror or e}") from e
            if path.is_dir():
                inside = sorted(p for p in path.glob("*") if p.suffix.lower() == ".gta")
            if not inside:
                raise ValueError(f"no .gta files in the folder {path}")
            found += inside
        return found


class ReconstructOptions(Options):
    input: ImageFiles = Field(
        description="Picture to compress and decompress: a file, several, a folder or a glob"
    )
    quality: Quality = 5


class DenoiseOptions(Options):
    input: ImageFiles = Field(
        description="Picture to take noise out of: a file, several, a folder or a glob"
    )
    sigma: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Standard deviation of the noise in grey levels of 255 "
        "(default: estimated from each picture)",
    )


class TrainOptions(Options):
    only: Literal["all", "decoding"] = Field(
        "all",
        description="What learns: all, or entropy model and decoder alone, a finish that makes "
        "files smaller and pictures better for the encoder there is",
    )
    crop_size: int = Field(256, ge=64, multiple_of=16, description="Side of the crops, pixels")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of Adam")
    smallest_scale: float = Field(
        0.6,
        gt=0,
        le=1,
        description="Pictures are seen at random sizes from this share of their own up to all",
    )
