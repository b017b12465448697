"""Options of Gatys' method."""

from pathlib import Path
from typing import Any, Literal

import pydantic

from gentool import Field, ImageFile, ImageFiles, ImageSet, Options
from gentool.images import name_of

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
INITS = ("auto", "adain", "content", "noise", "style")


class StylizeOptions(Options):
    content: ImageFiles = Field(description="Picture to paint: a file, several, a folder or a glob")
    style: ImageSet = Field(description="Picture whose style to take; several are mixed")
    style_weights: list[float] = Field([], description="Share of each style (default: equal)")
    mask: ImageSet | None = Field(
        None, description="Where each style applies, white on black, one for each style; soft"
    )
    content_weight: float = Field(1.0, ge=0, description="Weight of the content's features")
    style_weight: float = Field(20.0, ge=0, description="Weight of the style's Gram matrices")
    tv_weight: float = Field(2.0, ge=0, description="Weight of total variation: smooths")
    l2_weight: float = Field(
        0.0, ge=0, description="Weight of the distance to the content's pixels"
    )
    content_layers: list[str] = Field(["relu4_1"], description="Layers compared with the content")
    style_layers: list[str] = Field(list(LAYERS), description="Layers compared with the style")
    style_layer_weights: list[float] = Field(
        [], description="Weight of each style layer (default: equal)"
    )
    features: list[str] = Field(
        ["perceptual"],
        min_length=1,
        description="Feature network: perceptual (packaged), vgg19 (fetched once, 575 MB), or "
        "safetensors files; each layer comes from the first that has it",
    )
    init: Any = Field(
        "auto",
        description="Start from auto (adain where it is installed, else content), adain, content, "
        "noise, style, or a picture",
    )
    optimizer: Literal["lbfgs", "adam"] = Field("lbfgs", description="How to minimise the loss")
    steps: int = Field(
        200,
        ge=1,
        description="Most evaluations of the loss at each size, half as many above 1024 pixels",
    )
    tolerance: float = Field(
        0.002, ge=0, lt=1, description="Stop when 20 evaluations improve the loss by less than this"
    )
    preserve_color: Literal["none", "luminance", "histogram"] = Field(
        "none",
        description="Keep the content's colors: luminance takes only light and dark from the "
        "result, histogram first gives the style the content's colors",
    )
    content_size: int = Field(
        512, ge=0, le=65536, description="Long side of the result, pixels; 0 keeps the content's"
    )
    style_size: int | None = Field(
        None,
        ge=32,
        le=65536,
        description="Long side to bring the style to, pixels (default: the result's): larger gives "
        "larger strokes",
    )
    tile: int | None = Field(
        None,
        ge=0,
        le=65536,
        description="Side of the tiles that the loss is computed in, pixels, 0 for none: saves "
        "memory, changes nothing (default: only where the picture would not fit)",
    )
    preview_every: int = Field(0, ge=0, description="Write a preview every N evaluations, 0: none")
    plot: bool = Field(False, description="Also draw the loss curve (needs gentool-gatys[plot])")
    resume: bool = Field(False, description="Go on where Ctrl-C stopped the same command")

    @pydantic.field_validator("style_layers", "content_layers")
    @classmethod
    def _layers(cls, names: list[str]) -> list[str]:
        if not names or len(set(names)) < len(names):
            raise ValueError("must be layers, each once")
        return names

    @pydantic.field_validator("style_weights", "style_layer_weights")
    @classmethod
    def _weights(cls, weights: list[float]) -> list[float]:
        if weights and (min(weights) < 0 or sum(weights) <= 0):
            raise ValueError("must not be negative, and not all 0")
        return weights

    @pydantic.field_validator("init")
    @classmethod
    def _init(cls, value: Any) -> Any:
        if isinstance(value, str) and value in INITS:
            return value
        return pydantic.TypeAdapter(ImageFile).validate_python(value)

    @pydantic.field_serializer("features")
    def _features_names(self, words: list[str]) -> list[str]:
        return [Path(word).name for word in words]  # provenance holds no folders

    @pydantic.field_serializer("init")
    def _init_name(self, value: Any) -> str:
        return value if isinstance(value, str) else name_of(value)

    @pydantic.model_validator(mode="after")
    def _counts(self) -> "StylizeOptions":
        styles = len(self.style)
        for name, given, wanted, what in (
            ("--style-weights", self.style_weights, styles, "style"),
            ("--mask", self.mask, styles, "style"),
            ("--style-layer-weights", self.style_layer_weights, len(self.style_layers), "layer"),
        ):
            if given and len(given) != wanted:
                raise ValueError(f"{name}: one for each {what}, got {len(given)} for {wanted}")
        if self.style_weight == 0 and self.content_weight == 0:
            raise ValueError("--content-weight and --style-weight: both 0, so nothing is to do")
        return self
