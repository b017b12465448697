"""AdaIN's trainer: learns, reaches every parameter, resumes bit for bit; real tiny data."""

import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from gentool import TrainingError, WeightsError
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool_adain.nets import AdaIN, Config
from gentool_adain.options import TrainOptions
from gentool_adain.statistics import Style
from gentool_adain.trainer import AdaINTrainer, keep_out_of_compiler


@pytest.fixture
def options(tmp_path):
    """Crops of two photographs, and a feature network with random weights, VGG-shaped."""
    for name in ("photos", "paintings"):
        (tmp_path / name).mkdir()
        image = Image.fromarray(data.astronaut() if name == "photos" else data.coffee())
        for i in range(20):
            image.rotate(9 * i).resize((120, 90)).save(tmp_path / name / f"{i}.png")
    torch.manual_seed(0)
    tensors, width = {}, 3
    for layer, out in (("1_1", 4), ("1_2", 4), ("2_1", 6), ("2_2", 6), ("3_1", 8)):
        tensors[f"conv{layer}.weight"] = torch.randn(out, width, 3, 3) / (9 * width) ** 0.5
        tensors[f"conv{layer}.bias"] = torch.zeros(out)
        width = out
    for layer in ("3_2", "3_3", "3_4", "4_1"):
        tensors[f"conv{layer}.weight"] = torch.randn(8, 8, 3, 3) / 8.5
        tensors[f"conv{layer}.bias"] = torch.zeros(8)
    save_file(tensors, tmp_path / "teacher.safetensors")
    return TrainOptions(
        content_data=[tmp_path / "photos"],
        style_data=[tmp_path / "paintings"],
        teacher=[tmp_path / "teacher.safetensors"],
        batch_size=2,
        crop_size=64,
        warm_up=1,
    )


def test_every_parameter_gets_a_finite_gradient(options):
    trainer = AdaINTrainer(options, choose("cpu", "fp32"))
    batches = iter(trainer.batches(0, 0))
    for _ in range(2):  # the first step only reproduces the content
        scalars = trainer.step(next(batches), 0.5)
    assert {"content", "style", "gram", "range", "identity"} <= set(scalars)
    for name, parameter in trainer.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_warming_up_learns_to_reproduce_the_content(options):
    torch.manual_seed(0)
    trainer = AdaINTrainer(options.model_copy(update={"warm_up": 100}), choose("cpu", "fp32"))
    batch = next(iter(trainer.batches(0, 0)))
    pixels = [trainer.step(batch, 0.0)["pixels"] for _ in range(30)]
    assert pixels[-1] < 0.75 * pixels[0]


def arguments(options, run, *more):
    words = ["train", "adain", "--content-data", options.content_data[0]]
    words += ["--style-data", options.style_data[0], "--teacher", options.teacher[0]]
    words += ["--batch-size", 2, "--crop-size", 64, "--precision", "fp32", "-o", run, *more]
    return [str(word) for word in words]


def test_the_command_trains_resumes_and_its_weights_run(options, tmp_path, capsys):
    log = ("--log-every", 1, "--steps", 3)
    assert invoke(arguments(options, tmp_path / "whole", *log, "--preview-every", 3)) == 0
    assert len(list((tmp_path / "whole/previews").iterdir())) == 1
    photo = options.content_data[0] / "0.png"
    line = ["run", "adain", "--content", str(photo), "--style", str(photo)]
    line += ["--weights", str(tmp_path / "whole"), "-o", str(tmp_path / "o.png")]
    assert invoke(line) == 0, capsys.readouterr().err
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == (120, 90)


def test_state_resumes_bit_for_bit(options):
    def steps(trainer, start, stop):
        batches = iter(trainer.batches(0, start))
        for step in range(start, stop):
            torch.manual_seed(step)  # as the loop does
            trainer.step(next(batches), 0.1)

    torch.manual_seed(0)
    whole = AdaINTrainer(options, choose("cpu", "fp32"))
    steps(whole, 0, 2)
    state = {name: tensor.clone() for name, tensor in whole.state().items()}
    steps(whole, 2, 4)
    resumed = AdaINTrainer(options, choose("cpu", "fp32"))
    resumed.load_state(state)
    steps(resumed, 2, 4)
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, resumed.state()[name]), name


@pytest.mark.parametrize(
    ("field", "content", "error"),
    [
        ("teacher", b"nothing", "not a safetensors file"),
        ("teacher", None, "no such weights file"),
        ("content_data", None, "not a folder or tar archive"),
    ],
)
def test_unusable_data_and_teachers_are_one_line(options, tmp_path, field, content, error):
    path = tmp_path / "unusable"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((WeightsError, TrainingError), match=error):
        AdaINTrainer(options.model_copy(update={field: [path]}), choose("cpu", "fp32"))


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
