"""Options of AdaIN's actions and of its training."""

from typing import Literal

from gentool import Field, ImageFiles, Options, PathList


class StylizeOptions(Options):
    content: ImageFiles = Field(description="Picture to paint: a file, several, a folder or a glob")
    style: ImageFiles = Field(
        description="Picture whose style to take: a file, several, a folder or a glob; "
        "every content is painted in every style"
    )
    alpha: float = Field(1.0, ge=0, le=1, description="Strength of the style")
    preserve_color: Literal["none", "luminance", "histogram"] = Field(
        "none",
        description="Keep the content's colors: luminance takes only light and dark from the "
        "result, histogram first gives the style the content's colors",
    )
    content_size: int | None = Field(
        None,
        ge=1,
        le=65536,
        description="Long side to bring the content to, pixels (default: keep)",
    )
    style_size: int | None = Field(
        512,
        ge=16,
        le=65536,
        description="Long side to bring the style to, pixels: larger gives larger strokes",
    )


class TrainOptions(Options):
    style_data: PathList = Field(
        description="Works of art: folders, archives, or a part of one as ARCHIVE:PREFIX; "
        "--data takes the photographs"
    )
    teacher: PathList = Field(
        description="Safetensors files of feature networks with VGG-19's layers; each layer comes "
        "from the first file that has it"
    )
    crop_size: int = Field(128, ge=64, multiple_of=8, description="Side of the crops, pixels")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of Adam")
    reproduce_steps: int = Field(
        400, ge=0, description="First steps that only learn to reproduce the content"
    )
    style_weight: float = Field(50.0, ge=0, description="Weight of the style statistics")
    gram_weight: float = Field(10.0, ge=0, description="Weight of the Gram matrices")
    identity_weight: float = Field(
        2.0, ge=0, description="Weight of reproducing a content that is its own style"
    )
    range_weight: float = Field(10.0, ge=0, description="Weight of leaving 0..1")
    smallest_side: float = Field(
        358.0, ge=32, description="Pictures are seen as if their long side had at least this"
    )
    largest_side: float = Field(742.0, ge=32, description="and at most this many pixels")
