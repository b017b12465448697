"""The codec's trainer: learns, validates on what it did not see, resumes; real tiny data."""

import json

import pytest
import torch
from PIL import Image
from skimage import data

import gentool
from gentool import TrainingError, weights
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.context import Context
from gentool.progress import Progress
from gentool.training import Moment, Plan, Setup, held_out
from gentool.training.data.feed import feeds
from gentool.training.stepper import Stepper
from gentool_cnn_ae.choice import chosen
from gentool_cnn_ae.codec import Codec
from gentool_cnn_ae.coder import Alphabets
from gentool_cnn_ae.crops import ShrinkCrop
from gentool_cnn_ae.nets import CnnAe
from gentool_cnn_ae.options import TrainOptions
from gentool_cnn_ae.prior import bits
from gentool_cnn_ae.tables import SCALES, SHIFTS, Fitted, logistic, shape
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


def build(photos, **options):
    plan = Plan(data=[str(photos)], batch_size=4)
    setup = Setup(plan, choose("cpu", "fp32"), continues="only" in options)
    torch.manual_seed(0)
    return CnnAeTrainer(TrainOptions(crop_size=64, **options), setup)


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


def test_a_finish_lowers_the_cost_and_leaves_the_encoder_as_it_was(photos):
    trainer = build(photos, only="decoding")
    kept = {n: p.clone() for n, p in trainer.model.named_parameters()}
    (feed,) = feeds(trainer.datasets, trainer.setup, 0, Progress())
    stepper, batch, costs = Stepper(trainer.updates, trainer.setup), next(feed), []
    for step in range(10):
        torch.manual_seed(3)  # the same qualities and noise, so that costs compare
        costs.append(float(stepper(Moment(step, step / 10), [[batch]])["loss"]))
    assert costs[-1] < 0.97 * costs[0]
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, kept[n])}
    assert {name.split(".")[0] for name in changed} == {"decoder", "prior"}


def test_symbols_are_chosen_nearly_as_files_have_them():
    model, level = gentool.load("cnn-ae", threads=1).model, torch.tensor([2])
    picture = torch.from_numpy(data.astronaut()[:256, :256].copy()).permute(2, 0, 1) / 255
    with torch.inference_mode():
        wanted = model.encoder(picture[None], torch.zeros(1)) * model.gains(level)
        symbols, nearest = chosen(model, wanted, level), wanted.round()
        ((_, written),) = Codec(model, Context(choose("cpu", "fp32"), 0)).coded(picture, 2)
    written = torch.from_numpy(written).permute(2, 0, 1)[None]
    changed = (written != nearest).float().mean()
    assert changed > 0.005
    assert (symbols != written).float().mean() < 0.25 * changed
    assert ((symbols - nearest).abs() <= 1).all()


def test_a_scale_beyond_the_table_learns_to_come_back():
    scales = torch.tensor([-3.0, -3.0, 20.0, SCALES + 5.0], requires_grad=True)
    # a rare symbol asks for a larger scale, an expected one for a smaller
    values = torch.tensor([1.0, 0.0, 0.0, 0.0])
    bits(values, torch.zeros(4), scales).sum().backward()
    assert scales.grad[0] < 0
    assert scales.grad[1] == 0
    assert scales.grad[2] > 0
    assert scales.grad[3] > 0


def test_tables_are_counted_from_symbols(photos):
    trainer = build(photos)
    trainer.calibrate()
    counts = trainer.model.tables.counts
    assert not torch.equal(counts, logistic())
    Alphabets(counts)  # sound
    fitted, plain = Fitted(), Fitted()
    symbols = torch.zeros(10_000)
    symbols[:300] = 1
    fitted.add(symbols, torch.zeros(10_000), torch.zeros(10_000))  # the logistic gives 1 16 bits
    place = next(p for k, t, p in shape() if (k, t) == (0, SHIFTS // 2))
    middle = (place.start + place.stop - 2) // 2
    after, before = fitted.counts(), plain.counts()
    assert after[middle + 1] > 100 * before[middle + 1]
    assert after[middle + 1] == after[middle - 1]  # mirrored
    assert (before - logistic()).abs().max() < 0.01 * before.max()


def test_one_picture_is_no_batch(photos):
    setup = Setup(Plan(data=[str(photos)], batch_size=1), choose("cpu", "fp32"))
    with pytest.raises(TrainingError, match="--batch-size"):
        CnnAeTrainer(TrainOptions(crop_size=64), setup)


def test_an_untrained_codec_is_a_cosine_transform(photos):
    trainer = build(photos)
    (grid,) = trainer.preview()
    pictures, best = grid.tensors[:4], grid.tensors[12:16]
    for picture, shown in zip(pictures, best, strict=True):
        assert -10 * (picture - shown).square().mean().log10() > 25


def test_validation_is_on_held_out_pictures(photos):
    for path in photos.iterdir():
        if held_out(path.name):
            path.unlink()
    assert build(photos).validate() == {}
    name = next(f"{i}.png" for i in range(100, 1000) if held_out(f"{i}.png"))
    Image.new("RGB", (100, 80), (200, 90, 30)).save(photos / name)
    trainer = build(photos)
    assert len(trainer.held_out) == 1
    assert torch.allclose(trainer.held_out[0, :, 5, 5], torch.tensor([200.0, 90, 30]) / 255)
    figures = trainer.validate()
    assert 0 < figures["bpp 2"] < figures["bpp 8"]
    assert 30 < figures["psnr 2"] < figures["psnr 8"]


@pytest.mark.parametrize("size", [(200, 300), (64, 64), (40, 90)])
def test_crops_have_their_size(size):
    crop = ShrinkCrop(64, 0.5)
    assert crop(torch.randint(256, (3, *size), dtype=torch.uint8)).shape == (3, 64, 64)


def train(photos, run, *more):
    line = ["train", "cnn-ae", "--data", str(photos), "-o", str(run), "--crop-size", "64"]
    line += ["--batch-size", "2", "--workers", "0", "--threads", "1", "--preview-every", "2"]
    assert invoke([*line, *more]) == 0


@pytest.mark.parametrize("only", ["all", "decoding"])
def test_a_resumed_training_equals_an_uninterrupted_one(photos, tmp_path, only):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    more = ["--steps", "3", "--checkpoint-every", "2", "--only", only]
    train(photos, whole, *more, "--weights", "default")
    train(photos, parts, *more, "--weights", "default")
    for late in (parts / "checkpoints/0000003.safetensors", parts / "weights.safetensors"):
        late.unlink()
    train(photos, parts, *more, "--resume")
    states = [weights.load(CnnAe, run / "weights.safetensors", "cnn-ae") for run in (whole, parts)]
    a, b = (model.state_dict() for model in states)
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


def test_use_what_was_trained(photos, tmp_path, capsys):
    run = tmp_path / "run"
    train(photos, run, "--steps", "1")
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
