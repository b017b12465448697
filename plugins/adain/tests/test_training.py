"""AdaIN's trainer: learns, reaches every parameter, resumes; real tiny data."""

import json
import shutil

import pytest
import torch
from PIL import Image
from skimage import data

from gentool import TrainingError, WeightsError
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Moment, Plan, Setup
from gentool.training.data.feed import feeds
from gentool.training.stepper import Stepper
from gentool_adain.nets import AdaIN, Config
from gentool_adain.options import TrainOptions
from gentool_adain.statistics import Style
from gentool_adain.trainer import AdaINTrainer, keep_out_of_compiler
from gentool_perceptual import vgg19
from gentool_perceptual.losses import ContentLoss


@pytest.fixture
def folders(tmp_path):
    """Turned and shrunk copies of a photograph each."""
    for name in ("photos", "paintings"):
        (tmp_path / name).mkdir()
        image = Image.fromarray(data.astronaut() if name == "photos" else data.coffee())
        for i in range(20):
            image.rotate(9 * i).resize((120, 90)).save(tmp_path / name / f"{i}.png")
    return tmp_path


@pytest.fixture
def options(folders, vgg_like):
    return {
        "style_data": [folders / "paintings"],
        "teacher": [vgg_like],
        "crop_size": 64,
        "reproduce_steps": 1,
    }


def build(folders, options, precision="fp32", **changed):
    setup = Setup(Plan(data=[str(folders / "photos")], batch_size=2), choose("cpu", precision))
    torch.manual_seed(0)
    return AdaINTrainer(TrainOptions(**{**options, **changed}), setup)


def take(trainer):
    return [[next(feed) for feed in feeds(trainer.datasets, trainer.setup, 0, Progress())]]


def test_every_parameter_gets_a_finite_gradient(folders, options):
    trainer = build(folders, options)
    stepper, batches = Stepper(trainer.updates, trainer.setup), take(trainer)
    for step in range(2):  # the first step only reproduces the content
        scalars = stepper(Moment(step, 0.5), batches)
    assert {"content", "style", "gram", "range", "identity"} <= set(scalars)
    for name, parameter in trainer.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_first_steps_learn_to_reproduce_the_content(folders, options):
    # there is no warm-up here, which the full rate wants
    trainer = build(folders, options, reproduce_steps=100, learning_rate=3e-4)
    stepper, batches = Stepper(trainer.updates, trainer.setup), take(trainer)
    pixels = [stepper(Moment(step, 0.0), batches)["pixels"].item() for step in range(60)]
    assert pixels[-1] < 0.75 * pixels[0]


def arguments(folders, vgg_like, run, *more):
    words = ["train", "adain", "--data", folders / "photos", "--style-data", folders / "paintings"]
    words += ["--teacher", vgg_like, "--batch-size", 2, "--crop-size", 64, "--precision", "fp32"]
    words += ["--log-every", 1, "-o", run, *more]
    return [str(word) for word in words]


def curve(run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["terms"] for line in lines]


def test_the_command_trains_resumes_reports_and_its_weights_run(
    folders, vgg_like, tmp_path, capsys
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    more = ("--steps", 4, "--preview-every", 4, "--checkpoint-every", 2)
    assert invoke(arguments(folders, vgg_like, whole, *more)) == 0, capsys.readouterr().err
    assert len(list((whole / "previews").iterdir())) == 1
    shutil.copytree(whole, parts)  # as it was after two steps
    (parts / "checkpoints/0000004.safetensors").unlink()
    assert invoke(arguments(folders, vgg_like, parts, *more, "--resume")) == 0
    assert curve(parts) == curve(whole)
    assert len(curve(whole)) == 4
    assert invoke(["report", str(whole)]) == 0
    page = (whole / "report.html").read_text()
    assert page.count("<svg") >= 8
    assert "data:image/webp" in page
    photo = str(folders / "photos/0.png")
    line = ["run", "adain", "--content", photo, "--style", photo]
    line += ["--weights", str(whole), "-o", str(tmp_path / "o.png")]
    assert invoke(line) == 0, capsys.readouterr().err
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == (120, 90)


@pytest.mark.parametrize(
    ("field", "content", "error"),
    [
        ("teacher", b"nothing", "not a safetensors file"),
        ("teacher", None, "no such weights file"),
        ("style_data", None, "no such folder or archive"),
    ],
)
def test_unusable_data_and_teachers_are_one_line(folders, options, field, content, error):
    path = folders / "unusable"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((WeightsError, TrainingError), match=error):
        build(folders, options, **{field: [path]})


def test_a_download_is_told_before_it_begins(folders, options, monkeypatch):
    nowhere = (None, "http://127.0.0.1:1/vgg19-test.pth", "00")
    monkeypatch.setenv("TORCH_HOME", str(folders))
    monkeypatch.setattr(vgg19.fetch, "__defaults__", nowhere)
    notes = []
    plan = Plan(data=[str(folders / "photos")], batch_size=2)
    setup = Setup(plan, choose("cpu", "fp32"), note=notes.append)
    with pytest.raises(WeightsError, match="cannot fetch VGG-19"):
        AdaINTrainer(TrainOptions(**options | {"teacher": ["vgg19"]}), setup)
    assert "fetching VGG-19" in notes[0]


def test_a_batch_of_one_which_would_learn_no_style_is_refused(folders, options):
    setup = Setup(Plan(data=[str(folders / "photos")], batch_size=1), choose("cpu", "fp32"))
    with pytest.raises(TrainingError, match="--batch-size: must be at least 2"):
        AdaINTrainer(TrainOptions(**options), setup)


def test_pairings_paint_each_content_in_several_styles(folders, options):
    trainer = build(folders, options, pairings=2, content_layers=["relu3_4"])
    photos, paintings = (batch.pictures for batch in take(trainer)[0])
    terms = trainer._terms(photos, paintings, 2)
    expected = []
    # strokes are learned: before the first step noise does nothing
    for styles in (torch.stack([paintings[0], photos[1]]), paintings.roll(1, 0)):
        seen = trainer.features(trainer.model(photos, styles))
        style = trainer.style_loss(seen, trainer.features(styles))["style"]
        content = ContentLoss(["relu3_4"])(seen, trainer.features(photos))["content"]
        expected.append((style, content))
    style, content = (sum(values) / 2 for values in zip(*expected, strict=True))
    assert terms["style"].item() == pytest.approx(style.item(), rel=1e-4)
    assert terms["content"].item() == pytest.approx(content.item(), rel=1e-4)


def test_more_pairings_than_styles_are_refused(folders, options):
    with pytest.raises(TrainingError, match="--pairings: must be at most --batch-size, 2, got 3"):
        build(folders, options, pairings=3)


def test_it_trains_in_bf16(folders, options):
    trainer = build(folders, options, "bf16")
    stepper, batches = Stepper(trainer.updates, trainer.setup), take(trainer)
    before = [p.clone() for p in trainer.model.parameters()]
    scalars = [stepper(Moment(step, 0.0), batches) for step in range(2)]
    assert all(value.isfinite() for found in scalars for value in found.values())
    assert not any(map(torch.equal, before, trainer.model.parameters()))


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler's own making
def test_compiled_gradients_equal_eager_ones():
    """A compiled backward pass that is silently wrong would train half a network."""
    torch.manual_seed(0)
    net = AdaIN(Config(width2=4, width4=8, width8=8, code=4, blocks8=0, blocks4=0, noise=2))
    net.to(memory_format=torch.channels_last)
    keep_out_of_compiler(net)
    for strokes in (net.decoder.strokes8, net.decoder.strokes4):
        torch.nn.init.normal_(strokes.scale.weight)
    content, style = torch.rand(2, 1, 3, 32, 32).unbind()
    noise = net.noise(net.encoder(content))

    def paint(content, style):
        features = net.encoder(content)
        target = Style.of(net.encoder(style))
        return net.decode(features, Style.of(features), target, noise)

    def gradients(paint):
        net.zero_grad()
        paint(content, style).square().sum().backward()
        return {name: p.grad.clone() for name, p in net.named_parameters()}

    compiled = gradients(torch.compile(paint))
    for name, gradient in gradients(paint).items():
        assert torch.allclose(gradient, compiled[name], rtol=1e-3, atol=1e-4), name
