"""Options of the GAN's actions and of its training."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import NonNegativeInt, model_validator

from gentool import Field, ImageFiles, Options, PathList


class _DrawOptions(Options):
    usual: ClassVar[int] = 1  # pictures, where nothing says how many

    n: int | None = None
    label: list[str] | None = Field(
        None,
        min_length=1,
        description="Class to draw, by name; several take turns (default: drawn as well)",
    )
    truncation: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Less than 1 brings latents nearer to their mean: pictures become more usual "
        "and more alike",
    )
    latents: PathList | None = Field(
        None, description="Take latents from files that `project` wrote, instead of drawing"
    )

    @model_validator(mode="after")
    def _n_fits(self) -> Self:
        labels = len(self.label or ())
        if self.latents is not None and self.n is not None:
            raise ValueError("--n: the files of --latents say how many; leave it out")
        if self.n is not None and self.n < labels:
            raise ValueError(f"--n: {labels} labels need as many pictures, got {self.n}")
        return self

    @property
    def count(self) -> int:
        """How many are drawn, where no files say it."""
        return self.n or max(self.usual, len(self.label or ()))

    @property
    def numbers(self) -> range | list[int]:
        """Numbers of the pictures that are drawn: what each is depends on its number alone."""
        return range(self.count)

    @property
    def counted_by(self) -> str:
        """The flag that says how many pictures there are."""
        if self.latents:
            return "--latents"
        return "--label" if self.n is None and len(self.label or ()) == self.count else "--n"


class SampleOptions(_DrawOptions):
    n: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="How many pictures (default: one, or one of each --label)",
    )
    first: int = Field(
        0, ge=0, description="Number of the first: picture k of a seed is always the same"
    )
    grid: int | None = Field(
        None, ge=1, le=1000, description="One sheet with so many columns instead of single files"
    )
    upscale: int = Field(1, ge=1, le=32, description="Enlarge so many times, bicubic")

    @model_validator(mode="after")
    def _first_fits(self) -> Self:
        if self.latents is not None and self.first:
            raise ValueError("--first: the files of --latents say which; leave it out")
        return self

    @property
    def numbers(self) -> range | list[int]:
        """Numbers of the pictures that are drawn."""
        return range(self.first, self.first + self.count)

    def several_results(self) -> bool:
        # a file of `project` has one latent; should one have more, Output numbers the pictures
        count = len(self.latents) if self.latents else self.count
        return self.grid is None and count > 1


class InterpolateOptions(_DrawOptions):
    usual: ClassVar[int] = 6

    n: int | None = Field(
        None,
        ge=2,
        le=1000,
        description="Pictures to walk between (default: 6, or one of each --label if those are "
        "more)",
    )
    pick: list[NonNegativeInt] | None = Field(
        None,
        min_length=2,
        max_length=1000,
        description="Walk between these pictures of the seed, by the numbers that `sample` gave "
        "them, instead of the first",
    )
    steps: int = Field(16, ge=1, le=1000, description="Frames from one to the next", examples=[2])
    fps: float = Field(16.0, ge=0.1, le=100, description="Frames a second")
    upscale: int = Field(4, ge=1, le=32, description="Enlarge so many times, bicubic")

    @model_validator(mode="after")
    def _pick_fits(self) -> Self:
        if self.pick is None:
            return self
        if self.n is not None or self.latents is not None:
            raise ValueError("--pick: says which and how many; leave out --n and --latents")
        if len(self.pick) < len(self.label or ()):
            raise ValueError(f"--pick: {len(self.label or ())} labels need as many pictures")
        return self

    @property
    def numbers(self) -> range | list[int]:
        """Numbers of the pictures that are walked between."""
        return super().numbers if self.pick is None else self.pick

    @property
    def counted_by(self) -> str:
        """The flag that says how many pictures there are."""
        return super().counted_by if self.pick is None else "--pick"

    def several_results(self) -> bool:
        return False  # one animation, of however many files of latents


class ProjectOptions(Options):
    image: ImageFiles = Field(
        description="Picture to find: a file, several, a folder or a glob; its middle square is "
        "brought to the generator's size"
    )
    label: str | None = Field(None, description="Its class (default: the best of all is taken)")
    steps: int = Field(200, ge=1, le=100_000, description="Steps of the search", examples=[2])


class TrainOptions(Options):
    net: Literal["residual", "dcgan"] = Field(
        "residual", description="Preset: a modern small one, or the classic DCGAN"
    )
    size: Literal[32, 64] = Field(
        32, description="Side of the pictures, pixels; larger ones are cut square and reduced"
    )
    conditional: bool | None = Field(
        None,
        description="Learn the classes, which are the folders of --data (default: where there are "
        "two or more; dcgan has none)",
    )
    widths: list[int] | None = Field(
        None,
        description="Channels of the generator at 4x4, 8x8 and so on, up to full size; multiples "
        "of 8 are quickest (default: 192 96 48 16; at 64 pixels 192 192 96 48 16)",
    )
    latent: int | None = Field(
        None, ge=1, le=1024, description="Numbers that a picture is made from (default: 128)"
    )
    discriminator: Literal["features", "pixels"] | None = Field(
        None,
        description="What judges: a network over frozen features up to relu3_1 and the pixels, "
        "which needs far fewer pictures, or over the pixels alone (default: features; dcgan: its "
        "own)",
    )
    discriminator_width: int | None = Field(
        None, ge=4, le=512, description="Channels of the discriminator at its largest (default: 64)"
    )
    loss: Literal["hinge", "relativistic", "bce"] | None = Field(
        None, description="Adversarial loss (default: hinge; dcgan: bce)"
    )
    generator_rate: float | None = Field(
        None, gt=0, description="Highest learning rate of the generator (default: 2e-4)"
    )
    discriminator_rate: float | None = Field(
        None, gt=0, description="The same of the discriminator (default: 4e-4; dcgan: 2e-4)"
    )
    augment: list[Literal["none", "color", "translation", "cutout"]] | None = Field(
        None,
        min_length=1,
        description="Change what the discriminator sees (default: translation cutout; dcgan: "
        "none); color as well helps below about 10,000 pictures",
    )
    teacher: Path | None = Field(
        None,
        description="Learn from another generator as well, a wider one say: a training's folder, "
        "whose discriminator goes on too, a safetensors file or a packaged set's name",
    )
    teacher_weight: float | None = Field(
        None,
        gt=0,
        description="Weight of the distance from the teacher's pictures at the beginning; it falls "
        "to none (default: 20)",
    )
    r1: float = Field(0.0, ge=0, description="Weight of the gradient penalty on real pictures")
    r1_every: int = Field(16, ge=1, description="Steps between gradient penalties")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.teacher_weight is not None and self.teacher is None:
            raise ValueError("--teacher-weight: needs --teacher")
        if self.net == "dcgan":
            if self.conditional:
                raise ValueError("--conditional: the dcgan preset has no classes")
            if self.teacher is not None:
                raise ValueError("--teacher: the dcgan preset learns from pictures alone")
            for name in ("widths", "latent", "discriminator"):
                if getattr(self, name) is not None:
                    raise ValueError(f"--{name}: the dcgan preset's is fixed; leave it out")
        if self.widths is not None:
            needed = 4 if self.size == 32 else 5
            if len(self.widths) != needed or not all(4 <= w <= 4096 for w in self.widths):
                raise ValueError(f"--widths: give {needed} numbers from 4 to 4096")
        return self
