"""Gatys' method on tiny random feature networks and real pictures."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

import gentool
from gentool import BatchError, GentoolError, UsageError
from gentool.cli.main import invoke
from gentool.compute import Compute, choose
from gentool.progress import Progress
from gentool_gatys.actions import stylize
from gentool_gatys.minimize import LBFGS, Adam
from gentool_gatys.objective import Objective, Region, Seen, Weights
from gentool_gatys.run import Run
from gentool_gatys.tiles import cover
from gentool_perceptual.features import CONVOLUTIONS, Features

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """VGG-19's layout to relu5_1 with four channels a layer."""
    torch.manual_seed(0)
    tensors, width = {}, 3
    for name in CONVOLUTIONS[: CONVOLUTIONS.index("5_1") + 1]:
        tensors[f"conv{name}.weight"] = torch.randn(4, width, 3, 3) / (4.5 * width) ** 0.5
        tensors[f"conv{name}.bias"] = torch.rand(4) * 0.1
        width = 4
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def flags(network, pictures):
    return {
        "content": pictures / "content.png",
        "style": pictures / "style.png",
        "features": [str(network)],
        "content_size": 96,
        "init": "content",
        "steps": 12,
    }


@pytest.fixture
def method():
    return gentool.load("gatys", precision="fp32", seed=0)


def photo(name, height, width):
    image = Image.fromarray(getattr(data, name)()).resize((width, height))
    return torch.from_numpy(__import__("numpy").array(image)).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("masked", [False, True])
def test_tiles_give_the_loss_and_gradient_of_the_whole(network, masked):
    features = Features.load([network], LAYERS).double()
    image, content = photo("astronaut", 288, 320).double(), photo("chelsea", 288, 320).double()
    shares = Weights(
        {"relu4_1": 1.0}, dict(zip(LAYERS, (0.1, 0.2, 0.3, 0.2, 0.2), strict=True)), 1, 20, 0.5, 0.3
    )
    compute, found = choose("cpu", "fp32"), []
    masks = [None]
    if masked:
        ramp = torch.linspace(0, 1, 320, dtype=torch.float64).expand(1, 1, 288, 320)
        masks = [ramp, 1 - ramp]
    for side in (0, 96, 160):
        seen = Seen(features, compute, side)
        styles = [photo("coffee", 200, 230).double(), photo("rocket", 190, 260).double()]
        regions = [
            Region(seen.grams(style, LAYERS), mask, 1 / len(masks))
            for style, mask in zip(styles, masks, strict=False)
        ]
        found.append(Objective(seen, content, regions, shares)(image))
    (terms, gradient), *tiled = found
    assert set(terms) == {"content", "style", "l2", "tv", "total"}
    for other, slope in tiled:
        # losses take features as float32, whatever they are computed in
        assert other == pytest.approx(terms, rel=1e-5)
        assert (slope - gradient).abs().max() < 1e-4 * gradient.abs().max()


def test_tiles_cover_everything_once():
    for height, width, side in ((16, 16, 0), (300, 520, 128), (1024, 96, 100)):
        count = torch.zeros(1, 1, height, width)
        for tile in cover(count, side):
            count[
                ..., tile.rows.first : tile.rows.last, tile.columns.first : tile.columns.last
            ] += 1
        assert (count == 1).all()


def test_lbfgs_solves_what_gradient_descent_cannot():
    torch.manual_seed(0)
    scales = torch.logspace(0, 4, 30)
    start = torch.randn(30)
    x, downhill, minimizer = start, start, LBFGS()
    for _ in range(200):
        x = minimizer.step(x, (scales * x * x).sum().item() / 2, scales * x)
        downhill = downhill - scales * downhill / scales.max()
    assert (scales * x * x).sum() < 1e-3
    assert (scales * downhill * downhill).sum() > 1


def test_lbfgs_goes_back_from_a_step_that_fails():
    minimizer, x = LBFGS(), torch.ones(4)
    tried = minimizer.step(x, 1.0, torch.ones(4))
    again = minimizer.step(tried, float("nan"), torch.full((4,), float("nan")))
    assert torch.allclose(again - x, (tried - x) / 4)
    third = minimizer.step(again, 50.0, torch.ones(4))
    assert 0 < (third - x).norm() < (again - x).norm()


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
    return torch.from_numpy(__import__("numpy").array(Image.open(path))).permute(2, 0, 1) / 255


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_both_optimizers_lower_the_loss(network, optimizer):
    features = Features.load([network], LAYERS)
    seen = Seen(features, choose("cpu", "fp32"))
    content = photo("chelsea", 64, 96)
    equal = dict.fromkeys(LAYERS, 0.2)
    goal = Region(seen.grams(photo("coffee", 64, 96), LAYERS))
    loss = Objective(seen, content, [goal], Weights({"relu4_1": 1.0}, equal))
    run = Run(loss, content, LBFGS() if optimizer == "lbfgs" else Adam(), 25)
    run.advance(25)
    totals = [terms["total"] for terms in run.curve]
    assert min(totals) < (0.5 if optimizer == "lbfgs" else 0.8) * totals[0]
    # what is shown is what is saved: 8 bits change next to nothing
    saved = loss.terms((run.picture * 255).round() / 255)["total"]
    assert saved == pytest.approx(min(totals), rel=0.02)


def test_it_stops_by_itself_when_nothing_improves(network):
    seen = Seen(Features.load([network], LAYERS), choose("cpu", "fp32"))
    content = photo("chelsea", 64, 64)
    goal = Region(seen.grams(photo("coffee", 64, 64), LAYERS))
    equal = dict.fromkeys(LAYERS, 0.2)
    loss = Objective(seen, content, [goal], Weights({"relu4_1": 1.0}, equal))
    run = Run(loss, content, LBFGS(), 500, tolerance=0.2)
    run.advance(500)
    assert run.finished
    assert 40 <= len(run.curve) < 300


@pytest.mark.parametrize("init", ["auto", "adain", "content", "noise", "style", "picture"])
def test_every_start_gives_a_picture_of_its_own(method, flags, init):
    first = flags["style"] if init == "picture" else init
    tensor = method.stylize(**flags | {"init": first, "steps": 1}).tensor
    start = {"content": "content", "style": "style", "picture": "style"}.get(init)
    if start:  # one evaluation is where it started
        image = Image.open(flags[start]).resize((96, 72))
        wanted = torch.from_numpy(__import__("numpy").array(image)).permute(2, 0, 1) / 255
        assert (tensor - wanted).abs().mean() < 0.02
    else:
        assert tensor.std() > 0.02


def test_auto_starts_from_adain(method, flags):
    auto, adain = (
        method.stylize(**flags | {"init": i, "steps": 1}).tensor for i in ("auto", "adain")
    )
    assert torch.equal(auto, adain)


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


class Interrupt(Progress):
    """Ctrl-C after so many evaluations."""

    def __init__(self, after):
        self.after, self.notes = after, []

    def note(self, text):
        self.notes.append(text)

    @contextlib.contextmanager
    def bar(self, total, what):
        def show(done, text):
            if done == self.after:
                signal.raise_signal(signal.SIGINT)

        yield show


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_interrupted_and_resumed_is_bit_for_bit_uninterrupted(method, flags, optimizer):
    flags |= {"optimizer": optimizer}
    whole = method.stylize(**flags).tensor
    progress = Interrupt(after=7)
    artifacts = method.stream(None, method.options(**flags), method.context(progress))
    halfway = next(artifacts)
    with pytest.raises(KeyboardInterrupt):
        next(artifacts)
    assert halfway.tensor.shape == whole.shape
    assert not torch.equal(halfway.tensor, whole)
    assert "with --resume goes on" in progress.notes[-1]
    assert "after 7 evaluations" in progress.notes[-1]
    assert torch.equal(method.stylize(**flags, resume=True).tensor, whole)
    with pytest.raises(UsageError, match="nothing to go on with"):  # it is done
        method.stylize(**flags, resume=True)


def test_a_batch_goes_on_at_the_content_that_was_interrupted(method, flags):
    other = flags | {"content": flags["style"]}
    whole = [method.stylize(**each).tensor for each in (flags, other)]
    progress = Interrupt(after=7)
    with pytest.raises(KeyboardInterrupt):
        list(method.stream(None, method.options(**other), method.context(progress)))
    flags["content"] = [flags["content"], flags["style"]]
    progress = Interrupt(after=0)
    options = method.options(**flags, resume=True)
    resumed = [i.tensor for i in method.stream(None, options, method.context(progress))]
    for picture, wanted in zip(resumed, whole, strict=True):
        assert torch.allclose(picture, wanted, atol=1e-5)
    assert sum("starting anew" in note for note in progress.notes) == 1


def test_where_nothing_can_be_kept_the_picture_still_comes(method, flags, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    progress = Interrupt(after=7)
    artifacts = method.stream(None, method.options(**flags), method.context(progress))
    assert next(artifacts).tensor.isfinite().all()
    with pytest.raises(KeyboardInterrupt):
        next(artifacts)
    assert "cannot be gone on with" in progress.notes[0]
    assert progress.notes[-1].endswith("stopped by Ctrl-C")


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


def test_networks_of_one_name_in_other_folders_do_not_share_what_is_kept(
    method, flags, network, tmp_path
):
    shutil.copy(network, tmp_path / network.name)
    with pytest.raises(KeyboardInterrupt):
        list(method.stream(None, method.options(**flags), method.context(Interrupt(after=3))))
    flags["features"] = [str(tmp_path / network.name)]
    with pytest.raises(UsageError, match="nothing to go on with"):
        method.stylize(**flags, resume=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_writes_the_picture_and_exits_with_130(flags, tmp_path):
    out = tmp_path / "o.png"
    line = ["run", "gatys", "-o", out, "--content", flags["content"], "--style", flags["style"]]
    line += ["--features", *flags["features"], "--content-size", 96, "--init", "content"]
    line += ["--steps", 100000, "--tolerance", 0, "--preview-every", 20, "--threads", 1]
    command = [sys.executable, "-m", "gentool", *map(str, line)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    preview = tmp_path / "o-preview.png"
    deadline = time.monotonic() + 60
    while not preview.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    with Image.open(out) as image:
        assert image.size == (96, 72)
    assert str(out) in stdout.splitlines()[-1]


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


def test_two_styles_make_one_file_and_several_contents_a_batch(flags, tmp_path, capsys):
    line = ["run", "gatys", "--style", flags["style"], flags["content"], "--features"]
    line += [*flags["features"], "--steps", 1, "--content-size", 64, "--init", "content"]
    one = [*line, "--content", flags["content"], "-o", tmp_path / "one.png"]
    assert invoke([str(word) for word in one]) == 0, capsys.readouterr().err
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
        ({"style_weights": [1.0, 2.0]}, "style_weights: one for each style is needed, got 2 for 1"),
        ({"style_weights": [-1.0]}, "must not be negative"),
        ({"style_layer_weights": [1.0]}, "one for each style layer is needed"),
        ({"style_layers": ["relu9_1"]}, "no feature network given has layer relu9_1"),
        ({"features": ["nowhere.safetensors"]}, "no such weights file"),
        ({"init": "nowhere.png"}, "no such file"),
        ({"content_size": 16}, "is too small"),
        ({"style_weight": 0.0, "content_weight": 0.0}, "nothing to do"),
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
