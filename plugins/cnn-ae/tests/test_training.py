"""The codec's trainer: learns, validates on what it did not see, resumes; real tiny data."""

import json

import pytest
import torch
from PIL import Image
from skimage import data

from gentool import TrainingError
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Moment, Plan, Setup, held_out
from gentool.training.data.feed import feeds
from gentool.training.stepper import Stepper
from gentool_cnn_ae.coder import Alphabets
from gentool_cnn_ae.crops import ShrinkCrop
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


def test_the_entropy_model_alone_makes_files_smaller_and_pictures_as_they_were(photos):
    trainer = build(photos, only="entropy")
    kept = {n: p.clone() for n, p in trainer.model.named_parameters()}
    (feed,) = feeds(trainer.datasets, trainer.setup, 0, Progress())
    stepper, batch = Stepper(trainer.updates, trainer.setup), next(feed)
    costs = [float(stepper(Moment(s, s / 10), [[batch]])["loss"]) for s in range(10)]
    assert costs[-1] < 0.97 * costs[0]
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, kept[n])}
    assert changed
    assert all(name.startswith("prior.") for name in changed)


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
    assert len([*(run / "previews").glob("*.png")]) == 2
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
