"""The codec's trainer: learns, validates on what it did not see, resumes; real tiny data."""

import json

import pytest
import torch
from PIL import Image
from skimage import data

from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Moment, Plan, Setup, held_out
from gentool.training.data.feed import feeds
from gentool.training.stepper import Stepper
from gentool_cnn_ae.crops import ShrinkCrop
from gentool_cnn_ae.options import TrainOptions
from gentool_cnn_ae.trainer import CnnAeTrainer


@pytest.fixture
def photos(tmp_path):
    """Turned and shrunk copies of a photograph."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        turned = Image.fromarray(data.astronaut()).rotate(9 * i).resize((120, 90))
        turned.save(folder / f"{i}.png")
    return folder


def build(photos):
    setup = Setup(Plan(data=[str(photos)], batch_size=4), choose("cpu", "fp32"))
    torch.manual_seed(0)
    return CnnAeTrainer(TrainOptions(crop_size=64), setup)


def test_cost_falls(photos):
    trainer = build(photos)
    (feed,) = feeds(trainer.datasets, trainer.setup, 0, Progress())
    stepper, batch, costs = Stepper(trainer.updates, trainer.setup), next(feed), []
    for step in range(10):
        torch.manual_seed(3)  # the same qualities and noise, so that costs compare
        scalars = stepper(Moment(step, step / 10), [[batch]])
        costs.append(float(scalars["loss"]))
    assert {"bpp", "distortion", "psnr", "denoised"} <= scalars.keys()
    assert costs[-1] < 0.9 * costs[0]


def test_an_untrained_codec_is_a_cosine_transform(photos):
    trainer = build(photos)
    (grid,) = trainer.preview()
    pictures, best = grid.tensors[:4], grid.tensors[12:16]
    for picture, shown in zip(pictures, best, strict=True):
        assert -10 * (picture - shown).square().mean().log10() > 25


def test_validation_is_on_held_out_pictures(photos):
    trainer = build(photos)
    names = [path.name for path in photos.iterdir()]
    figures = trainer.validate()
    if any(map(held_out, names)):
        assert figures["bpp 2"] < figures["bpp 8"]
        assert figures["psnr 2"] < figures["psnr 8"]
    else:
        assert figures == {}
    (photos / "held").mkdir()
    name = next(f"{i}.png" for i in range(1000) if held_out(f"held/{i}.png"))
    Image.fromarray(data.coffee()).resize((100, 80)).save(photos / "held" / name)
    figures = trainer.validate()
    assert 0 < figures["bpp 2"] < figures["bpp 8"]


@pytest.mark.parametrize("size", [(200, 300), (64, 64), (40, 90)])
def test_crops_have_their_size(size):
    crop = ShrinkCrop(64, 0.5)
    assert crop(torch.randint(256, (3, *size), dtype=torch.uint8)).shape == (3, 64, 64)


def test_train_resume_and_use_what_was_trained(photos, tmp_path, capsys):
    run = tmp_path / "run"
    line = ["train", "cnn-ae", "--data", str(photos), "-o", str(run), "--crop-size", "64"]
    line += ["--batch-size", "2", "--workers", "0", "--threads", "1", "--preview-every", "2"]
    assert invoke([*line, "--steps", "1", "--checkpoint-every", "1"]) == 0
    assert invoke([*line, "--steps", "2", "--resume", "--allow-changes"]) == 0
    assert len([*(run / "previews").glob("*.png")]) == 1
    picture = str(photos / "0.png")
    out = tmp_path / "out.gta"
    use = ["--weights", str(run), "--threads", "1"]
    assert invoke(["run", "cnn-ae", "compress", "--input", picture, "-o", str(out), *use]) == 0
    back = tmp_path / "back.png"
    assert invoke(["run", "cnn-ae", "decompress", "--input", str(out), "-o", str(back), *use]) == 0
    with Image.open(back) as image:
        assert image.size == (120, 90)
    capsys.readouterr()
    # the packaged weights are others
    assert invoke(["run", "cnn-ae", "decompress", "--input", str(out), "-o", str(back)]) == 2
    told = capsys.readouterr().err
    assert "out.gta: made with other weights" in told
    assert told.count("\n") == 1
    assert json.loads((run / "run.json").read_text())["sessions"]
