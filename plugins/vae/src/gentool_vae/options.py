"""Options of the VAE's actions and of its training."""

from typing import Literal, Self

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


class DrawOptions(Options):
    """What every action that makes pictures of latents shares."""

    detail: float = Field(
        1.0,
        ge=0,
        le=1,
        description="How much of the drawn detail to add; 0 is the mean of all pictures that a "
        "latent may mean: blurred, and nearest to the original",
    )

    upscale: int = Field(1, ge=1, le=32, description="Enlarge so many times, bicubic")


class SheetOptions(DrawOptions):
    layout: Literal["grid", "each"] = Field(
        "grid", description="One sheet, or a file for each picture"
    )


class SampleOptions(SheetOptions):
    n: int = Field(16, ge=1, le=100_000, description="Pictures to make")
    first: int = Field(
        0, ge=0, description="Number of the first: picture k of a seed is always the same"
    )
    spread: float = Field(
        1.0, ge=0, le=2, description="Below 1 more typical pictures, above 1 more unusual ones"
    )

    def several_results(self) -> bool:
        return self.layout == "each" and self.n > 1


class ReconstructOptions(Options):
    image: ImageFiles = Field(
        description="Picture to encode and decode again: a file, several, a folder or a glob"
    )


class _InterpolateInputs(Options):
    start: ImageFile = Field(description="Picture to begin with")
    end: ImageFile = Field(description="Picture to end with")
    layout: Literal["grid", "animation"] = Field(
        "grid", description="One row of pictures, or an animation there and back"
    )
    steps: int = Field(8, ge=2, le=1000, description="Pictures from one to the other")
    fps: float = Field(12.0, ge=0.1, le=100, description="Frames a second of the animation")

    def result_suffixes(self) -> tuple[str, ...]:
        return ANIMATION_SUFFIXES if self.layout == "animation" else PICTURE_SUFFIXES


class InterpolateOptions(DrawOptions, _InterpolateInputs):  # pydantic puts the last one's first
    pass


class EncodeOptions(Options):
    image: ImageSet = Field(
        description="Pictures to encode into one file: a file, several, a folder or a glob"
    )


class _DecodeInputs(Options):
    latents: PathList = Field(
        description="A safetensors file of `encode`, made with the same weights",
        json_schema_extra={"made_by": "encode"},
    )


class DecodeOptions(SheetOptions, _DecodeInputs):
    def several_results(self) -> bool:
        return False  # how many its file has is not known yet; Output numbers the pictures

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        if len(self.latents) > 1:
            raise ValueError(f"--latents: takes one file, got {len(self.latents)}")
        return self


class _AttributeInputs(Options):
    image: ImageFiles = Field(
        description="Picture to change: a file, several, a folder or a glob; a row of steps each"
    )
    having: ImageSet = Field(description="Pictures that have the attribute, such as a folder")
    lacking: ImageSet = Field(description="Pictures that lack it, otherwise alike")
    strength: float = Field(
        1.0, gt=0, le=10, description="How far to go to either side, in differences of the means"
    )
    steps: int = Field(
        5, ge=2, le=100, description="Pictures in a row, from lacking to having the attribute"
    )


class AttributeOptions(DrawOptions, _AttributeInputs):
    pass


class TrainOptions(Options):
    size: int = Field(32, ge=16, le=256, description="Side of the pictures, pixels, a power of two")
    latent: int = Field(128, ge=1, le=1024, description="Numbers that stand for a picture")
    width: int = Field(48, ge=8, le=512, description="Channels of the networks")
    components: int = Field(
        10, ge=1, le=64, description="Gaussians of the prior that samples are drawn from"
    )
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of Adam")
    beta: float = Field(1.0, ge=0, description="Weight of the KL divergence; 1 is the bound")
    kl_warmup: int = Field(0, ge=0, description="Steps over which that weight rises from zero")
    free_bits: float = Field(
        0.0, ge=0, description="Nats that each latent may hold without being pushed to hold less"
    )
    sample_every: int = Field(1, ge=1, description="Train details in every so many steps only")

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.size & (self.size - 1):
            raise ValueError(f"--size: must be a power of two, got {self.size}")
        return self
