"""`gentool evaluate` on real pictures, with tiny feature networks."""

import json
import shutil
import xml.etree.ElementTree as ET

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from gentool.cli.main import invoke
from gentool.images import resize
from gentool_adain.distances import Distances
from gentool_perceptual import vgg19


def network(path, last):
    """A feature network of VGG-19's shape with random weights, up to a convolution."""
    torch.manual_seed(0)
    tensors, width = {}, 3
    for name in ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4", "4_1"):
        tensors[f"conv{name}.weight"] = torch.randn(6, width, 3, 3) / (9 * width) ** 0.5
        tensors[f"conv{name}.bias"] = torch.zeros(6)
        width = 6
        if name == last:
            break
    save_file(tensors, path)
    return path


@pytest.fixture
def pairs(tmp_path):
    for side, pictures in (("content", (data.chelsea, data.coffee)), ("style", (data.astronaut,))):
        (tmp_path / side).mkdir()
        for i in range(2):
            array = pictures[i % len(pictures)]()
            Image.fromarray(array).resize((64, 48)).rotate(5 * i).save(tmp_path / side / f"{i}.png")
    return tmp_path


def evaluate(pairs, *more):
    teacher = network(pairs / "teacher.safetensors", "4_1")
    return invoke(["evaluate", "adain", "--pairs", str(pairs), "--features", str(teacher), *more])


def test_evaluate_prints_pairs_mean_and_median_and_draws_them(pairs, capsys):
    for side in ("content", "style"):
        (pairs / side / "0.png").rename(pairs / side / "a&b.png")
    plot, kept = pairs / "plot.svg", pairs / "kept"
    assert evaluate(pairs, "--plot", str(plot), "--keep", str(kept)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["pair", "1", "a&b", "mean", "median"]
    assert len(ET.parse(plot).findall(".//{*}circle")) == 2
    with Image.open(kept / "1.png") as painted:
        assert painted.size == (64, 48)


def test_a_result_of_another_size_is_compared_at_its_own(pairs):
    distances = Distances([network(pairs / "teacher.safetensors", "4_1")])
    content, style = torch.rand(3, 96, 128), torch.rand(3, 80, 60)
    small = torch.rand(3, 48, 64)
    assert distances(small, content, style)["content"] > 0
    assert distances(resize(content, 64), content, style)["content"] == 0


def test_evaluate_replaces_nothing(pairs, capsys):
    before = (pairs / "content/0.png").read_bytes()
    assert evaluate(pairs, "--keep", str(pairs / "content")) == 2
    assert "0.png exists; choose another folder" in capsys.readouterr().err
    assert (pairs / "content/0.png").read_bytes() == before
    assert evaluate(pairs, "--plot", str(pairs / "plot.png")) == 2
    assert "must end in .svg" in capsys.readouterr().err


def test_evaluate_as_json_averages_its_pairs(pairs, capsys):
    assert evaluate(pairs, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    for figure in ("content", "style", "gram", "ssim"):
        mean = sum(row[figure] for row in told["pairs"].values()) / 2
        assert told["mean"][figure] == pytest.approx(mean)


def test_a_bad_pair_is_named_and_the_others_are_measured(pairs, capsys):
    (pairs / "content/0.png").write_bytes(b"no picture")
    plot = pairs / "plot.svg"
    assert evaluate(pairs, "--plot", str(plot), "--keep", str(pairs / "kept")) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["pair", "1", "mean", "median"]
    assert "failed: " in err
    assert "0.png" in err
    assert len(ET.parse(plot).findall(".//{*}circle")) == 1
    (pairs / "content/1.png").write_bytes(b"no picture")
    assert evaluate(pairs, "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"pairs": {}}


def test_a_picture_too_small_for_the_features_fails_alone(pairs, capsys):
    Image.new("RGB", (200, 4)).save(pairs / "style/0.png")
    assert evaluate(pairs) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["pair", "1", "mean", "median"]
    assert "a picture of 64 x 1 pixels is too small for the features of relu4_1" in err


@pytest.mark.parametrize("flag", ["--features", "--weights"])
def test_networks_that_cannot_be_loaded_leave_nothing_behind(pairs, capsys, flag):
    kept = pairs / "kept"
    assert evaluate(pairs, flag, str(pairs / "nosuch.safetensors"), "--keep", str(kept)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nosuch.safetensors: no such weights file" in err
    assert not kept.exists()


def test_a_download_is_told_before_it_begins(pairs, monkeypatch, capsys):
    nowhere = (None, "http://127.0.0.1:1/vgg19-test.pth", "00")
    monkeypatch.setenv("TORCH_HOME", str(pairs))
    monkeypatch.setattr(vgg19.fetch, "__defaults__", nowhere)
    assert evaluate(pairs, "--features", "vgg19") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("gentool: fetching VGG-19 from 127.0.0.1, once, 575 MB, into")
    assert "cannot fetch VGG-19" in told[1]


def test_what_nobody_sees_counts_for_nothing(pairs, capsys):
    with Image.open(pairs / "content/0.png") as image:
        picture = image.convert("RGBA")
    tables = []
    for hidden in (0, 255):
        picture.paste(Image.new("RGBA", (64, 20), (hidden, 0, hidden, 0)), (0, 0))
        picture.save(pairs / "content/0.png")
        assert evaluate(pairs, "--json") == 0
        tables.append(json.loads(capsys.readouterr().out)["pairs"]["0"])
    assert tables[0] == pytest.approx(tables[1])


def test_evaluate_takes_stylize_s_flags_from_a_file(pairs, capsys):
    (pairs / "none.toml").write_text("alpha = 0.0\n")
    assert evaluate(pairs, "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    assert evaluate(pairs, "--json", "--config", str(pairs / "none.toml")) == 0
    kept = json.loads(capsys.readouterr().out)
    assert kept["mean"]["content"] < whole["mean"]["content"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["nothing", "--pairs", "{pairs}"], "nothing"),
        (["adain", "--pairs", "{pairs}/gone"], "there is no folder"),
        (["adain", "--pairs", "{pairs}", "--plot", "{pairs}/gone/p.svg"], "--plot: there is no fo"),
        (
            ["adain", "--pairs", "{pairs}", "--keep", "{pairs}/style/0.png"],
            "cannot make the folder",
        ),
        (["adain", "--pairs", "{pairs}", "--plot", "{pairs}/old.svg"], "old.svg exists; choose"),
        (
            ["adain", "--pairs", "{pairs}", "--config", "{pairs}/wrong.toml"],
            "no option 'content'",
        ),
        (["adain", "--pairs", "{pairs}", "--config", "{pairs}/high.toml"], "alpha"),
        (["adain", "--pairs", "{pairs}/twice"], "content has x.jpg and x.png, which pair up alike"),
        (["adain", "--pairs", "{pairs}/lonely"], "x has only one of content and style"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(pairs, capsys, line, reason):
    for folder in ("lonely", "twice"):
        for side in ("content", "style"):
            (pairs / folder / side).mkdir(parents=True)
    for suffix in ("png", "jpg"):
        shutil.copy(pairs / "content/0.png", pairs / f"twice/content/x.{suffix}")
    shutil.copy(pairs / "content/0.png", pairs / "lonely/content/x.png")
    (pairs / "old.svg").write_text("precious")
    (pairs / "wrong.toml").write_text("content = 'a.png'")
    (pairs / "high.toml").write_text("alpha = 100")
    assert invoke(["evaluate", *(part.format(pairs=pairs) for part in line)]) == 2
    error = capsys.readouterr().err.strip()
    assert reason in error
    assert "\n" not in error


def test_distances_are_zero_at_the_target_and_grow_away_from_it(tmp_path):
    torch.manual_seed(0)
    content, style = torch.rand(3, 32, 48), torch.rand(3, 48, 32) * 0.3
    distances = Distances([network(tmp_path / "t.safetensors", "4_1")])
    assert distances.content_layers == ("relu3_4", "relu4_1")
    same = distances(content, content, content)
    assert same == pytest.approx({"content": 0, "style": 0, "gram": 0, "ssim": 1}, abs=1e-6)
    kept, moved = distances(content, content, style), distances(content * 0.5, content, style)
    assert kept["style"] > moved["style"] > 0
    assert moved["content"] > kept["content"] == 0
