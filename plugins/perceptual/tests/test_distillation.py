"""The compact network and its distillation, on tiny networks and real pictures."""

import json

import pytest
import torch
from PIL import Image
from skimage import data

from gentool import TrainingError, WeightsError, weights
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.training import Moment, Plan, Setup
from gentool_perceptual import vgg19
from gentool_perceptual.compact import CHANNELS, LAYERS, Compact, CompactNet, Config
from gentool_perceptual.features import Features
from gentool_perceptual.options import TrainOptions
from gentool_perceptual.trainer import DistillationTrainer

from .conftest import thin_teacher

TINY = Config(width2=4, width4=4, width8=4, width16=4)


@pytest.fixture
def teacher(tmp_path):
    return thin_teacher(tmp_path)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    image = Image.fromarray(data.astronaut())
    for i in range(20):
        image.rotate(9 * i).resize((100, 80)).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (7, 1), (1, 1)])
def test_layers_have_the_channels_and_sizes_of_vgg19(size):
    found = CompactNet(TINY)(torch.rand(2, 3, *size))
    assert {n: f.shape[1] for n, f in found.items()} == dict(zip(LAYERS, CHANNELS, strict=True))
    for i, f in enumerate(found.values()):
        assert f.shape[2:] == tuple(-(-n // 2**i) for n in size)
        assert (f >= 0).all()


def test_only_what_is_asked_for_is_computed_and_it_is_the_same():
    net, image = CompactNet(TINY), torch.rand(1, 3, 32, 32)
    alone = net(image, ["relu2_1"])
    assert list(alone) == ["relu2_1"]
    assert torch.equal(alone["relu2_1"], net(image)["relu2_1"])
    with pytest.raises(WeightsError, match="no layer relu4_2"):
        net(image, ["relu4_2"])


def test_the_packaged_network_sees_texture_where_there_is_one():
    net = Features.load(layers=LAYERS)
    photo = torch.from_numpy(data.chelsea()[:128, :128].copy()).permute(2, 0, 1)[None] / 255
    seen, flat = net(photo), net(photo.mean((2, 3), keepdim=True).expand_as(photo))
    for name in LAYERS:
        assert seen[name].isfinite().all()
        inner = flat[name][..., 2:-2, 2:-2]  # away from VGG-19's zero padding
        assert inner.std((2, 3)).mean() < 0.2 * seen[name].std((2, 3)).mean()


def test_hostile_configs_are_one_line(tmp_path):
    for width in (0, 10**6, "64"):
        with pytest.raises(WeightsError, match="width8"):
            Compact.from_config({"width8": width})


def build(teacher, photos, precision="fp32", **options):
    setup = Setup(Plan(data=[str(photos)], batch_size=4), choose("cpu", precision))
    return DistillationTrainer(TrainOptions(teacher=[teacher], crop_size=64, **options), setup)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pictures_of_the_pool_are_optimised_through_the_network(teacher, photos, precision):
    torch.manual_seed(0)
    trainer = build(teacher, photos, precision, pool=2, pool_from=0)
    batch = type("Batch", (), {"pictures": trainer.datasets[0].sample(4, trainer.setup)})
    total, terms = trainer.loss(Moment(0, 0.0), batch)
    assert total.item() == pytest.approx((terms["content"] + 0.5 * terms["gram"]).item())
    moved = (trainer.pool["picture"] - trainer.pool["content"]).abs().amax((1, 2, 3))
    assert (moved > 0).all()
    assert (moved <= 0.02 + 1e-6).all()  # two steps
    again = build(teacher, photos, pool=2, pool_from=0)
    again.load_state({n: t.clone() for n, t in trainer.state().items()})
    assert torch.equal(again.pool["picture"], trainer.pool["picture"])
    larger = build(teacher, photos, pool=3)  # as --allow-changes lets pass
    larger.load_state(trainer.state())
    assert len(larger.pool["picture"]) == len(larger.left) == 3


def test_a_teacher_of_other_channels_is_one_line(photos, tmp_path):
    teacher = thin_teacher(tmp_path, (64, 128, 8, 512, 512))
    with pytest.raises(TrainingError, match="--teacher: relu3_1 has 8 channels, must have"):
        build(teacher, photos)


def test_a_download_is_told_before_it_begins(photos, tmp_path, monkeypatch):
    nowhere = (None, "http://127.0.0.1:1/vgg19-test.pth", "00")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(vgg19.fetch, "__defaults__", nowhere)
    notes = []
    setup = Setup(Plan(data=[str(photos)], batch_size=4), choose("cpu"), note=notes.append)
    with pytest.raises(WeightsError, match="cannot fetch VGG-19"):
        DistillationTrainer(TrainOptions(teacher=["vgg19"], crop_size=64), setup)
    assert "fetching VGG-19" in notes[0]


def test_a_short_training_learns_and_gives_a_loadable_network(teacher, photos, tmp_path, capsys):
    run = tmp_path / "run"
    line = ["train", "perceptual", "--data", photos, "--teacher", teacher, "--crop-size", 64]
    line += ["--steps", 6, "--batch-size", 2, "--pool", 2, "--pool-from", 4, "--log-every", 1]
    line += ["--precision", "fp32", "--preview-every", 6, "-o", run, "--lr-warmup", 0, "--quiet"]
    line += ["--workers", 0]
    assert invoke([str(word) for word in line]) == 0, capsys.readouterr().err
    records = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    curve = [row["terms"]["content"] for row in records if "terms" in row]
    assert len(curve) == 6
    assert curve[3] < 0.98 * curve[0]  # from then on the pool is learnt from as well
    model = weights.load(Compact, run / "weights.safetensors", "perceptual")
    assert model.config == Config()
    assert Features.load([run / "weights.safetensors"], LAYERS)(torch.rand(1, 3, 32, 32))


def test_it_has_no_action_and_says_what_it_is_for(capsys):
    assert invoke(["run", "perceptual"]) == 2
    assert "perceptual has no action, only training" in capsys.readouterr().err
    assert invoke(["list"]) == 0
    assert "(training only)" in capsys.readouterr().out
    assert invoke(["run", "--help"]) == 0
    assert "perceptual" not in capsys.readouterr().out.partition("Methods")[2]
