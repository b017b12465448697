"""Options models: what they refuse in which words, and the flags they become."""

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
from pydantic import PositiveInt, ValidationError, model_validator

from gentool import Field, ImageFile, ImageFiles, Options, PathList, options
from gentool.cli.flags import given, option_flags, repeat_flags
from gentool.config import read_config
from gentool.errors import UsageError


class Paint(Options):
    content: ImageFiles = Field(description="Pictures to paint")
    mask: ImageFile | None = Field(None, description="Where to paint")
    alpha: float = Field(1.0, ge=0, le=1, description="Strength")
    content_size: int | None = Field(None, ge=16, description="Long side")
    preserve_color: Literal["none", "luminance", "histogram"] = Field("none", description="Colors")
    tile: bool = Field(False, description="In tiles")
    sharpen: bool = True


class Odd(Options):
    """Fields that a plugin of someone else may have."""

    above: float = Field(1.0, gt=0, lt=10)
    low: int = Field(5, ge=1)
    high: int = Field(5, le=9)
    crop: int = Field(64, ge=64, multiple_of=8)
    stride: Literal[8, 16] = 8
    only: Literal["this"] = "this"
    modes: list[Literal["day", "night"]] = Field(["day"])
    sizes: list[Annotated[int, Field(ge=1)]] = Field([64, 128])
    count: PositiveInt | None = None
    name: str = "x"
    file: Path | None = None
    kind: str = Field("plain", alias="class")
    data: PathList = Field([Path("a")])

    @model_validator(mode="after")
    def check(self):
        if self.name == "bad":
            raise ValueError("a name cannot be bad")
        return self


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "b.jpg"
    path.touch()
    return path


def line(model, prefix, **values):
    with pytest.raises(UsageError) as caught:
        options.validate(model, values, prefix)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


PICTURE = "a path, a PIL image, an array, a tensor or a result"
PRESERVE = (
    "--preserve-color: must be none, luminance or histogram, got 'luminanz'; "
    "did you mean 'luminance'?"
)

# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "flags", "keywords"),
    [
        ({"alpha": "7"}, "--alpha: must be between 0 and 1, got 7", "alpha: "),
        ({"alpha": -0.1}, "--alpha: must be between 0 and 1, got -0.1", "alpha: "),
        ({"alpha": "nan"}, "--alpha: must be a number between 0 and 1, got nan", "alpha: "),
        ({"alpha": "1e999"}, "--alpha: must be a number between 0 and 1, got 1e999", "alpha: "),
        ({"alpha": "much"}, "--alpha: must be a number between 0 and 1, got 'much'", "alpha: "),
        ({"alpha": None}, "--alpha: must be a number between 0 and 1, got None", "alpha: "),
        ({"alpha": torch.ones(20, 20)}, "--alpha: must be a number between 0 and 1, got a Tensor",
         "alpha: "),
        ({"content_size": "8"}, "--content-size: must be at least 16, got 8", "content_size: "),
        ({"content_size": "1.5"}, "--content-size: must be a whole number at least 16, got 1.5",
         "content_size: "),
        ({"content_size": 17.5}, "--content-size: must be a whole number at least 16, got 17.5",
         "content_size: "),
        ({"content_size": "a\nb"}, "--content-size: must be a whole number at least 16, got 'a b'",
         "content_size: "),
        ({"preserve_color": "luminanz"}, PRESERVE, "preserve_color: "),
        ({"tile": "perhaps"}, "--tile: must be true or false, got 'perhaps'", "tile: "),
        ({"mask": 3}, f"--mask: must be {PICTURE}, got int", "mask: "),
        ({"mask": torch.float32}, f"--mask: must be {PICTURE}, got dtype", "mask: "),
    ],
)  # fmt: skip
def test_a_bad_value_is_explained_to_typists_and_to_programmers(picture, values, flags, keywords):
    assert line(Paint, "--", content=picture, **values) == flags
    reason = flags.split(": ", 1)[1]
    assert line(Paint, "", content=picture, **values) == keywords + reason


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"above": 0}, "--above: must be above 0 and below 10, got 0"),
        ({"low": 0}, "--low: must be at least 1, got 0"),
        ({"high": 10}, "--high: must be at most 9, got 10"),
        ({"crop": 100}, "--crop: must be at least 64 and a multiple of 8, got 100"),
        ({"stride": "9"}, "--stride: must be 8 or 16, got 9"),
        ({"only": "that"}, "--only: must be this, got 'that'"),
        ({"modes": ["dya"]}, "--modes: must be day or night, got 'dya'; did you mean 'day'?"),
        ({"sizes": [64, 0]}, "--sizes: must be at least 1, got 0"),
        ({"count": 0}, "--count: must be above 0, got 0"),
        ({"name": ["x"]}, "--name: input should be a valid string, got a list"),
        ({"name": "bad"}, "a name cannot be bad"),
        ({"low": "1" * 5000}, "--low: "),
        ({"data": []}, "--data: list should have at least 1 item after validation, not 0"),
    ],
)
def test_fields_of_every_type_are_explained(values, wanted):
    assert line(Odd, "--", **values).startswith(wanted)


def test_missing_and_unknown_names(picture):
    assert line(Paint, "--") == "--content: is required"
    assert line(Paint, "") == "content: is required"
    typo = {"content": picture, "content_siez": 3}
    assert line(Paint, "--", **typo) == (
        "--content-siez: no such option; did you mean '--content-size'?"
    )
    assert line(Paint, "", **typo) == "content_siez: no such option; did you mean 'content_size'?"
    assert line(Paint, "", content=picture, xyzzy=1) == "xyzzy: no such option"


def test_all_mistakes_are_told_at_once(picture):
    assert line(Paint, "--", content=picture, alpha=7, content_size=1) == (
        "--alpha: must be between 0 and 1, got 7; --content-size: must be at least 16, got 1"
    )


def test_one_value_is_a_list_of_one_where_several_are_taken():
    class Draw(Options):
        label: list[str] | None = Field(None, description="Classes")
        weights: list[float] = Field([1.0], description="Shares")
        sides: list[Literal[8, 16]] = Field([8], description="Sides")

    drawn = options.validate(Draw, {"label": "horse", "weights": 2, "sides": "16"})
    assert (drawn.label, drawn.weights, drawn.sides) == (["horse"], [2.0], [16])


def test_texts_from_a_command_line_become_values(picture):
    values = {"content": str(picture), "alpha": "0.5", "content_size": "64", "tile": "true"}
    made = options.validate(Paint, values)
    assert (made.alpha, made.content_size, made.tile) == (0.5, 64, True)
    assert options.validate(Odd, {"stride": "16", "sizes": ["3"]}).stride == 16


def test_a_field_is_given_by_its_alias():
    class Strided(Options):
        stride: Literal[8, 16] = Field(8, alias="class")
        strides: list[Literal[8, 16]] = Field([8], alias="classes")

    made = options.validate(Strided, {"class": "16", "classes": ["8", "16"]})
    assert (made.stride, made.strides) == (16, [8, 16])
    assert line(Strided, "--", **{"class": "9"}) == "--class: must be 8 or 16, got 9"


def test_options_stay_as_they_were_checked(picture):
    made = options.validate(Paint, {"content": picture})
    with pytest.raises(ValidationError, match="frozen"):
        made.alpha = 9


# --- what leaves the model --------------------------------------------------------------------


def test_the_json_schema_says_all_a_form_needs():
    schema = json.loads(json.dumps(Paint.model_json_schema()))
    fields = schema["properties"]
    assert schema["required"] == ["content"]
    assert schema["additionalProperties"] is False
    assert (fields["alpha"]["minimum"], fields["alpha"]["maximum"]) == (0, 1)
    assert fields["alpha"]["default"] == 1.0
    assert fields["preserve_color"]["enum"] == ["none", "luminance", "histogram"]
    assert fields["content"]["type"] == "array"
    assert fields["content"]["items"]["contentMediaType"] == "image/*"
    assert fields["content"]["description"] == "Pictures to paint"
    assert fields["tile"]["type"] == "boolean"
    assert any(kind.get("minimum") == 16 for kind in fields["content_size"]["anyOf"])


# --- flags ------------------------------------------------------------------------------------


def flags(model):
    return {option.name: option for option in option_flags(model)}


def test_every_field_is_a_flag():
    made = flags(Paint)
    assert list(made) == list(Paint.model_fields)
    assert made["content_size"].opts == ["--content-size"]
    assert (made["tile"].opts, made["tile"].secondary_opts) == (["--tile"], [])
    assert [name for name, option in made.items() if option.multiple] == ["content"]
    assert [name for name, option in flags(Odd).items() if option.multiple] == [
        "modes", "sizes", "data",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "name", "kind", "text"),
    [
        (Paint, "content", "PICTURE ...", "Pictures to paint  [required]"),
        (Paint, "mask", "PICTURE", "Where to paint"),
        (Paint, "alpha", "X", "Strength  [between 0 and 1, default 1.0]"),
        (Paint, "content_size", "N", "Long side  [at least 16]"),
        (Paint, "preserve_color", "none|luminance|histogram", "Colors  [default none]"),
        (Paint, "tile", "boolean", "In tiles"),
        (Odd, "crop", "N", "[at least 64 and a multiple of 8, default 64]"),
        (Odd, "stride", "8|16", "[default 8]"),
        (Odd, "sizes", "N ...", "[default 64 128]"),
        (Odd, "data", "PATH ...", "[default a]"),
        (Odd, "name", "TEXT", "[default x]"),
    ],
)
def test_a_flags_help_shows_type_range_and_default(model, name, kind, text):
    option = flags(model)[name]
    assert option.type.name == kind
    assert option.help == text


def test_choices_of_a_list_are_shown():
    assert "day|night" in flags(Odd)["modes"].type.name


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("", ""),
        ("--content a", "--content a"),
        ("--content a b c", "--content a --content b --content c"),
        ("--content a b --alpha 1", "--content a --content b --alpha 1"),
        ("--alpha 1 --content a b", "--alpha 1 --content a --content b"),
        ("--content=a b", "--content=a --content b"),
        ("--content a --style b c --content d",
         "--content a --style b --style c --content d"),
        ("--alpha 1 stray", "--alpha 1 stray"),
        ("--content - x", "--content - --content x"),
        ("--content", "--content"),
    ],
)  # fmt: skip
def test_several_values_may_follow_one_flag(typed, wanted):
    assert repeat_flags(typed.split(), {"--content", "--style"}) == wanted.split()


def test_only_what_was_typed_is_given():
    values = {"content": ("a", "b"), "style": (), "alpha": None, "tile": False, "n": 0}
    assert given(values) == {"content": ["a", "b"], "tile": False, "n": 0}


# --- configuration files ----------------------------------------------------------------------


def test_flags_from_a_file_are_spelt_either_way(tmp_path):
    path = tmp_path / "paint.toml"
    path.write_text('content-size = 64\npreserve_color = "none"\ncontent = ["ä.png"]\n', "utf-8")
    known = list(Paint.model_fields)
    assert read_config(str(path), known) == {
        "content_size": 64, "preserve_color": "none", "content": ["ä.png"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"content-siez = 3", "no option 'content-siez'; did you mean 'content-size'?"),
        (b"xyzzy = 3", "no option 'xyzzy'"),
        (b"alpha = = 3", "Invalid value (at line 1, column 9)"),
        (b"\xff\xfe", "utf-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_bad_configuration_file_is_one_line_that_names_it(tmp_path, content, reason):
    path = tmp_path / "paint.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_config(str(path), Paint.model_fields)
    assert str(caught.value).startswith(f"--config {path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
