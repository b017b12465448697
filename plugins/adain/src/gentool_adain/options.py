"""Options of AdaIN's actions and of its training."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from gentool import (
    ANIMATION_SUFFIXES,
    PICTURE_SUFFIXES,
    Field,
    ImageFile,
    ImageFiles,
    ImageSet,
    Options,
    PathList,
)


class PaintOptions(Options):
    """What every action that paints shares."""

    alpha: float = Field(1.0, ge=0, le=1, description="Strength of the style")
    preserve_color: Literal["none", "luminance", "histogram"] = Field(
        "none",
        description="Keep the content's colors: luminance takes only light and dark from the "
        "result, histogram first gives the style the content's colors",
    )
    style_size: int = Field(
        512,
        ge=0,
        le=65536,
        description="Long side to bring the style to, pixels: larger gives larger strokes; 0 keeps "
        "its own",
    )
    stroke: float | None = Field(
        None,
        ge=1,
        le=100,
        description="Strokes so many times as large as the network's: painted small first, then "
        "again over that (default: 1 up to 1536 pixels, above as large as in a picture of 1024)",
    )
    tile: int = Field(
        1024,
        ge=64,
        le=65536,
        description="Work on larger pictures in tiles of this side, pixels: the result is the "
        "same, smaller ones take less memory; halved by itself when memory runs out",
    )


class _StylizeInputs(Options):
    content: ImageFiles = Field(description="Picture to paint: a file, several, a folder or a glob")
    style: ImageFiles = Field(
        description="Picture whose style to take: a file, several, a folder or a glob; "
        "every content is painted in every style"
    )
    style_weights: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, description="Blend the styles into one by these weights, one for each"
    )
    mask: ImageSet | None = Field(
        None,
        description="Where each style goes, one picture for each: white all of it, black none; "
        "what no mask covers stays the content",
    )
    content_size: int = Field(
        0, ge=0, le=65536, description="Long side of the result, pixels; 0 keeps the content's"
    )


class StylizeOptions(PaintOptions, _StylizeInputs):  # pydantic puts the last one's fields first
    @property
    def blended(self) -> bool:
        """Whether all styles go into one result."""
        return self.style_weights is not None or self.mask is not None

    def several_results(self) -> bool:
        """One for each content, and for each style unless styles are blended."""
        return len(self.content) > 1 or (len(self.style) > 1 and not self.blended)

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        for name, given in (("--style-weights", self.style_weights), ("--mask", self.mask)):
            if given is not None and len(given) != len(self.style):
                raise ValueError(
                    f"{name}: one for each style, got {len(given)} for {len(self.style)}"
                )
        if self.style_weights is not None and not sum(self.style_weights):
            raise ValueError("--style-weights: one at least must be above 0")
        return self


class _InterpolateInputs(Options):
    content: ImageFile = Field(description="Picture to paint")
    style: ImageSet = Field(description="Two styles or more to go between, in this order")
    layout: Literal["grid", "animation"] = Field(
        "grid",
        description="One sheet, a row for each pair of styles, of four styles a square between "
        "them; or an animation that ends where it began",
    )
    steps: int = Field(5, ge=2, le=64, description="Pictures from one style to the next")
    fps: float = Field(8.0, ge=0.1, le=100, description="Frames a second of the animation")
    content_size: int = Field(
        320, ge=0, le=65536, description="Long side of each picture, pixels; 0 keeps the content's"
    )

    def result_suffixes(self) -> tuple[str, ...]:
        return ANIMATION_SUFFIXES if self.layout == "animation" else PICTURE_SUFFIXES


class InterpolateOptions(PaintOptions, _InterpolateInputs):
    @model_validator(mode="after")
    def _several(self) -> Self:
        if len(self.style) < 2:
            raise ValueError("--style: two or more to go between, got 1")
        return self


class TrainOptions(Options):
    style_data: PathList = Field(
        description="Works of art: folders, archives, or a part of one as ARCHIVE:PREFIX; "
        "--data takes the photographs"
    )
    teacher: PathList = Field(
        description="Feature networks with VGG-19's layers: vgg19 (fetched once, 575 MB), "
        "perceptual (packaged) or safetensors files; each layer comes from the first that has it"
    )
    content_layers: list[str] = Field(
        ["relu3_1", "relu4_1"],
        min_length=1,
        description="Layers in which a result is compared with its content",
    )
    pairings: int = Field(
        1,
        ge=1,
        le=64,
        description="Styles that each photograph of a batch is painted in; more take fewer "
        "passes of the feature networks for a result",
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
        358.0, ge=32, description="Least long side that pictures are seen at, pixels"
    )
    largest_side: float = Field(
        742.0, ge=32, description="Greatest long side that pictures are seen at, pixels"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.smallest_side > self.largest_side:
            raise ValueError(
                f"--smallest-side: must be at most --largest-side, {self.largest_side:g}, "
                f"got {self.smallest_side:g}"
            )
        return self
