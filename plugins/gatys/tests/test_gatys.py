"""Gatys' method on tiny random feature networks and real pictures."""

import functools
import re
import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image

import gentool
from gentool import BatchError, GentoolError, UsageError
from gentool.cli.main import invoke
from gentool.compute import Compute
from gentool.progress import Progress
from gentool_gatys import plot
from gentool_gatys.actions import stylize
from gentool_gatys.objective import Objective, Seen, Weights
from gentool_gatys.run import DARKEST
from gentool_perceptual.features import Features

from .conftest import LAYERS, photo


def test_the_picture_approaches_the_style_and_keeps_its_size(method, flags):
    result = method.stylize(**flags)
    assert result.tensor.shape == (3, 72, 96)
    assert result.tensor.min() >= 0
    assert result.tensor.max() <= 1
    style = photo_of(flags["style"])
    before, after = (
        (p.mean((1, 2)) - style.mean((1, 2))).abs().sum()
        for p in (photo_of(flags["content"]), result.tensor)
    )
    assert after < before
    assert result.provenance[0]["options"]["style"] == ["style.png"]
    assert result.provenance[0]["options"]["init"] == "content"


def photo_of(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255


def test_an_array_is_a_start_as_well(method, flags):
    start = np.full((40, 60, 3), 200, np.uint8)
    assert method.stylize(**flags | {"init": start, "steps": 1}).tensor.isfinite().all()


def began(method, flags, **options):
    """Where it started: one evaluation takes it nowhere."""
    return method.stylize(**flags | {"steps": 1} | options).tensor


@pytest.mark.parametrize(
    ("init", "source"), [("content", "content"), ("style", "style"), ("picture", "style")]
)
def test_it_starts_from_a_picture(method, flags, init, source):
    start = began(method, flags, init=flags["style"] if init == "picture" else init)
    assert (start - photo_of(flags[source])).abs().max() < DARKEST + 1e-3


def test_auto_starts_from_what_adain_paints(method, flags):
    content, style = flags["content"], flags["style"]
    painted = gentool.load("adain", precision="fp32", seed=0).stylize(content=content, style=style)
    assert (painted.tensor - photo_of(content)).abs().mean() > 0.05
    for init in ("auto", "adain"):
        assert (began(method, flags, init=init) - painted.tensor).abs().max() < DARKEST + 1e-3


def test_noise_is_placed_by_the_seed(method, flags):
    again, other = (gentool.load("gatys", precision="fp32", seed=seed) for seed in (0, 1))
    noise = began(method, flags, init="noise")
    assert 0.25 < noise.std() < 0.33  # uniform: 0.29
    assert torch.equal(began(again, flags, init="noise"), noise)
    assert (began(other, flags, init="noise") - noise).abs().mean() > 0.2


def test_a_start_from_several_styles_mixes_them_by_masks_or_weights(method, flags):
    red, blue = torch.zeros(3, 64, 64), torch.zeros(3, 64, 64)
    red[0], blue[2] = 0.8, 0.8
    left, right = torch.zeros(2, 1, 72, 96)
    left[..., :32], right[..., 64:] = 1, 1
    start = functools.partial(began, method, flags, init="style", style=[red, blue])
    placed = start(mask=[left, right])
    for part, wanted in zip(placed.split(32, 2), ((0.8, 0), (0.4, 0.4), (0, 0.8)), strict=True):
        for channel, value in zip((0, 2), wanted, strict=True):
            assert (part[channel] - value).abs().max() < DARKEST + 1e-3
    mixed = start(style_weights=[3.0, 1.0])
    assert mixed.mean((1, 2)).tolist() == pytest.approx([0.6, 0, 0.2], abs=DARKEST + 1e-3)


def test_masks_give_each_style_its_place_and_weights_mix(method, flags, pictures):
    red, blue = torch.zeros(3, 64, 64), torch.zeros(3, 64, 64)
    red[0], blue[2] = 0.9, 0.9
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    common = flags | {"style": [red, blue], "content_weight": 0.0, "steps": 40, "init": "adain"}
    common |= {"style_layers": ["relu1_1"], "content_size": 64}
    placed = method.stylize(**common, mask=[left, 1 - left]).tensor
    half = placed.shape[2] // 2
    assert placed[0, :, :half].mean() > placed[0, :, half:].mean() + 0.1
    assert placed[2, :, half:].mean() > placed[2, :, :half].mean() + 0.1
    reds = [
        method.stylize(**common | {"init": "content"}, style_weights=w).tensor[0].mean()
        for w in ([0.9, 0.1], [0.1, 0.9])
    ]
    assert reds[0] > reds[1]


def test_a_mask_applies_nowhere_where_it_is_transparent(method, flags, pictures):
    Image.new("LA", (32, 24), (255, 0)).save(pictures / "glass.png")
    with pytest.raises(UsageError, match="a mask is all black"):
        method.stylize(**flags, mask=[pictures / "glass.png"])


def test_colors_of_the_content_are_kept(method, flags):
    content = photo_of(flags["content"])
    grey = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    kept = method.stylize(**flags, preserve_color="luminance").tensor
    free = method.stylize(**flags).tensor

    def color_error(picture):
        shown = picture - (picture * grey).sum(0)
        return (shown - (content - (content * grey).sum(0))).abs().mean()

    assert color_error(kept) < color_error(free)
    matched = method.stylize(**flags, preserve_color="histogram").tensor
    distance = [(p.mean((1, 2)) - content.mean((1, 2))).abs().sum() for p in (matched, free)]
    assert distance[0] < distance[1]


def test_large_pictures_are_painted_small_first(method, flags, monkeypatch):
    monkeypatch.setattr("gentool_gatys.painting.LARGEST_AT_ONCE", 64)
    seen = []

    class Watch(Progress):
        def bar(self, total, what):
            seen.append((total, what))
            return super().bar(total, what)

    options = method.options(**flags)
    (image,) = method.stream(None, options, method.context(Watch()))
    assert seen == [(12, "48 px"), (6, "96 px")]
    assert image.tensor.shape == (3, 72, 96)


def test_fp16_is_refused_and_bf16_compares_with_the_content(network, method, flags):
    context = method.context()
    context.compute = Compute(torch.device("cpu"), torch.float16)
    with pytest.raises(UsageError, match="--precision fp16"):
        next(stylize(None, method.options(**flags), context))
    half = Compute(torch.device("cpu"), torch.bfloat16)
    content = photo("chelsea", 64, 96)
    loss = Objective(
        Seen(Features.load([network], LAYERS), half), content, [], Weights({"relu4_1": 1.0}, {})
    )
    assert loss.content["relu4_1"].dtype == torch.bfloat16
    assert loss.content_norm["relu4_1"].dtype == torch.float32


def test_previews_and_the_curve_lie_beside_the_result(flags, tmp_path, capsys):
    line = ["run", "gatys", "--content", flags["content"], "--style", flags["style"], "--features"]
    line += [*flags["features"], "--steps", 7, "--preview-every", 3, "--plot", "--init", "content"]
    line += ["--content-size", 64, "-o", f"{tmp_path}/made/"]
    assert invoke([str(word) for word in line]) == 0, capsys.readouterr().err
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    stem = "content-style-gatys"
    assert names == [f"{stem}-loss.svg", f"{stem}-preview.png", f"{stem}.png"]
    assert "<svg" in (tmp_path / "made" / names[0]).read_text()


def test_without_matplotlib_plot_says_how_to_get_it(method, flags, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'gentool-gatys\[plot\]'"):
        method.stylize(**flags, plot=True)


@pytest.mark.parametrize("name", ["照片-<b>$x^-gatys", "no text \udcff"])
def test_a_curve_is_titled_in_any_script(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = plot.curve([{"total": 2.0}, {"total": 1.0}], name)
    title = ET.fromstring(drawn).find("{*}title")
    assert title.text == name.replace("\udcff", "?")


def test_weights_that_it_does_not_have_are_one_line(flags, capsys):
    line = ["run", "gatys", "--content", flags["content"], "--style", flags["style"]]
    assert invoke([*map(str, line), "--weights", "default"]) == 2
    told = capsys.readouterr().err
    assert told == "gentool: error: gatys packages no weights, and there is no file 'default'\n"


def test_two_styles_make_one_file_and_several_contents_a_batch(flags, tmp_path, capsys):
    line = ["run", "gatys", "--style", flags["style"], flags["content"], "--features"]
    line += [*flags["features"], "--steps", 1, "--content-size", 64, "--init", "content"]
    one = [*line, "--content", flags["content"], "-o", tmp_path / "one.png"]
    assert invoke([str(word) for word in one]) == 0, capsys.readouterr().err
    assert re.search(r"content.png: painted at 64x\d+ instead of", capsys.readouterr().err)
    two = [*line, "--content", flags["content"], flags["style"], "-o", tmp_path / "two.png"]
    assert invoke([str(word) for word in two]) == 2
    assert "give a folder" in capsys.readouterr().err


def test_a_bad_content_fails_alone(method, flags, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    flags["content"] = [tmp_path / "bad.png", flags["content"]]
    with pytest.raises(BatchError) as caught:
        method.stylize(**flags)
    assert len(caught.value.results) == 1
    assert "bad.png" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"style_weights": [1.0, 2.0]}, "style_weights: one for each style, got 2 for 1"),
        ({"style_weights": [-1.0]}, "must not be negative"),
        ({"style_layer_weights": [1.0]}, "one for each layer, got 1 for 5"),
        (
            {"style_layers": ["relu9_1"]},
            "has layer relu9_1; there are relu1_1",
        ),
        ({"features": ["nowhere.safetensors"]}, "no such weights file"),
        ({"init": "nowhere.png"}, "no such file"),
        ({"content_size": 16}, "is too small"),
        ({"style_weight": 0.0, "content_weight": 0.0}, "both 0, so nothing is to do"),
        ({"mask": torch.zeros(1, 8, 8)}, "all black"),
        ({"resume": True}, "nothing to go on with"),
    ],
)
def test_mistakes_are_one_line(method, flags, wrong, message):
    with pytest.raises(GentoolError, match=message) as caught:
        method.stylize(**flags | wrong)
    assert "\n" not in str(caught.value)


def test_memory_that_runs_out_means_smaller_tiles(method, flags, monkeypatch):
    notes, whole = [], Objective.__call__

    def short(self, image):
        if len(self.tiles) < 4:
            raise MemoryError
        return whole(self, image)

    class Listen(Progress):
        def note(self, text):
            notes.append(text)

    monkeypatch.setattr(Objective, "__call__", short)
    monkeypatch.setattr("gentool_gatys.objective.SMALLEST_TILE", 16)
    options = method.options(**flags | {"steps": 2})
    (image,) = method.stream(None, options, method.context(Listen()))
    assert image.tensor.isfinite().all()
    assert any("smaller tiles" in text for text in notes)
