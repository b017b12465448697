"""GANTrainer on a user's folder: learns, warns, resumes, previews; real tiny data."""

import json
import shutil

import pytest
import torch
from PIL import Image, ImageDraw

from gentool import TrainingError, weights
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Moment, Plan, Setup, take_network
from gentool.training.data.feed import feeds
from gentool.training.stepper import Stepper
from gentool_gan.nets import GAN
from gentool_gan.options import TrainOptions
from gentool_gan.trainer import GANTrainer

TINY = {"widths": [16, 8, 8, 4], "discriminator_width": 4, "latent": 8}


@pytest.fixture
def shapes(tmp_path):
    """Red discs and blue squares, of several sizes and modes, a folder for each."""
    generator = torch.Generator().manual_seed(0)
    for name, color in (("discs", "red"), ("squares", "blue")):
        folder = tmp_path / "shapes" / name
        folder.mkdir(parents=True)
        for i in range(20):
            image = Image.new("RGB", (40 + i, 48), "white")
            x, y = torch.randint(4, 16, (2,), generator=generator).tolist()
            draw = ImageDraw.Draw(image)
            (draw.ellipse if name == "discs" else draw.rectangle)((x, y, x + 22, y + 22), color)
            image.convert("P" if i % 5 == 0 else "RGB").save(folder / f"{i}.png")
    return tmp_path / "shapes"


def build(folder, batch_size=8, **options):
    setup = Setup(Plan(data=[str(folder)], batch_size=batch_size), choose("cpu", "fp32"))
    torch.manual_seed(0)
    return GANTrainer(TrainOptions(**options), setup)


def play(trainer, steps):
    stepper = Stepper(trainer.updates, trainer.setup)
    (feed,) = feeds(trainer.datasets, trainer.setup, 0, Progress())
    found = []
    for step in range(steps):
        torch.manual_seed(step)
        found.append(stepper(Moment(step, step / steps), [[next(feed)]]))
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"r1": 1.0, "r1_every": 2, "augment": ["color", "translation", "cutout"]},
        {"loss": "relativistic", "conditional": False, "discriminator": "pixels"},
        {"size": 64, "widths": [16, 8, 8, 8, 4], "loss": "bce", "augment": ["none"]},
    ],
)
def test_both_networks_learn_with_every_loss(shapes, options):
    trainer = build(shapes, **TINY | options)
    first = {n: p.clone() for n, p in trainer.discriminator.named_parameters()}
    terms = play(trainer, 3)[-1]
    assert terms["generator gradient"] > 0
    assert all(value.isfinite() for value in terms.values())
    for name, parameter in trainer.discriminator.named_parameters():
        # what shifts all logits alike is no part of a relativistic loss
        if options.get("loss") != "relativistic" or name != "verdict.head.bias":
            frozen = name.startswith("features.")
            assert torch.equal(parameter, first[name]) == frozen, name
    for name, parameter in trainer.generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of the compiler itself
def test_the_penalty_works_where_networks_are_compiled(shapes, monkeypatch):
    compiled = lambda _, net: torch.compile(net, backend="aot_eager")  # noqa: E731
    monkeypatch.setattr(Setup, "compile", compiled)
    trainer = build(shapes, net="dcgan", discriminator_width=4, r1=1.0, r1_every=2)
    terms = play(trainer, 2)
    assert terms[0]["discriminator r1"] > 0
    assert "discriminator r1" not in terms[1]


def test_dcgan_trains_by_its_published_recipe(shapes):
    trainer = build(shapes, net="dcgan", discriminator_width=4)
    for update in trainer.updates:
        (group,) = update.optimizer.param_groups
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
    assert trainer.recipe.loss == "bce"
    assert trainer.recipe.augment == ()
    assert trainer.model.config.classes == ()
    assert play(trainer, 2)[-1]["discriminator loss"].isfinite()


def test_options_overrule_the_recipe(shapes):
    trainer = build(shapes, **TINY, generator_rate=1e-3, augment=["color", "cutout"])
    assert trainer.updates[1].optimizer.param_groups[0]["lr"] == 1e-3
    assert trainer.updates[0].optimizer.param_groups[0]["lr"] == 4e-4
    assert trainer.recipe.augment == ("color", "cutout")
    assert build(shapes, **TINY, augment=["none"]).recipe.augment == ()


def test_it_learns_which_class_has_which_color(shapes):
    options = TINY | {"widths": [48, 24, 12, 4], "augment": ["none"]}
    trainer = build(shapes, 16, **options, generator_rate=4e-3, discriminator_rate=4e-3)
    play(trainer, 60)
    model = trainer.model.eval()
    latents = torch.randn(32, 8)
    with torch.no_grad():
        discs, squares = (model(latents, torch.full((32,), label)) for label in (0, 1))
    redness = [(p[:, 0] - p[:, 2]).mean().item() for p in (discs, squares)]
    assert redness[0] > redness[1] + 0.05


def test_statistics_are_those_of_the_networks_that_are_saved(shapes):
    trainer = build(shapes, **TINY)
    play(trainer, 3)
    net = trainer.generator.eval()
    with torch.no_grad():
        for parameter in net.parameters():  # as averaging does, more or less
            parameter.add_(0.1 * torch.randn_like(parameter))
        trainer.calibrate()
        folded = trainer.samples(64, 0)
        assert not any(m.training for m in net.modules())
        net.train()
        assert (folded - trainer.samples(64, 0)).abs().mean() < 0.05


def arguments(folder, run, *more):
    words = [
        "train",
        "gan",
        "--data",
        folder,
        "--batch-size",
        8,
        "--widths",
        16,
        8,
        8,
        4,
        "--latent",
        8,
    ]
    words += ["--discriminator-width", 4, "--log-every", 1, "-o", run, "--precision", "fp32"]
    return [str(word) for word in (*words, *more)]


def log(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def curve(run):
    return [record.get("terms") for record in log(run)]


def test_the_command_trains_resumes_previews_and_its_weights_run(shapes, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    more = ("--steps", 4, "--preview-every", 4, "--checkpoint-every", 2, "--ema", 0.9)
    assert invoke(arguments(shapes, whole, *more)) == 0, capsys.readouterr().err
    shutil.copytree(whole, parts)  # as it was after two steps
    (parts / "checkpoints/0000004.safetensors").unlink()
    assert invoke(arguments(shapes, parts, *more, "--resume")) == 0, capsys.readouterr().err
    assert curve(parts) == curve(whole)
    a, b = (weights.read_tensors(run / "weights.safetensors") for run in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    with Image.open(whole / "previews/0000004.png") as sheet:
        assert sheet.width == 2 * 32 + 4  # a column for each class
    figures = [record["validation"] for record in log(whole) if "validation" in record]
    assert list(figures[-1]) == ["distance", "precision", "recall", "duplicates"]
    line = ["run", "gan", "--weights", str(whole), "--label", "discs", "-o"]
    assert invoke([*line, str(tmp_path / "disc.png")]) == 0, capsys.readouterr().err
    assert weights.load(GAN, whole / "weights.safetensors").config.classes == ("discs", "squares")


@pytest.fixture
def elder(shapes, tmp_path):
    """A finished training's folder."""
    assert invoke(arguments(shapes, tmp_path / "elder", "--steps", 2)) == 0
    return tmp_path / "elder"


def test_a_narrower_generator_learns_from_a_teacher(shapes, elder):
    options = TINY | {"widths": [8, 4, 4, 4], "generator_rate": 4e-3}
    trainer = build(shapes, **options, teacher=elder, teacher_weight=1e4)
    kept = weights.read_tensors(elder / "checkpoints/0000002.safetensors")
    for name, tensor in trainer.discriminator.state_dict().items():
        assert torch.equal(tensor, kept[f"net.discriminator.{name}"]), name
    assert torch.equal(trainer.generator.embed.weight, trainer.teacher.generator.embed.weight)
    frozen = {n: p.clone() for n, p in trainer.teacher.generator.named_parameters()}
    assert trainer.learns_from == (elder / "weights.safetensors",)
    distances = [terms["generator teacher"].item() for terms in play(trainer, 30)]
    assert sum(distances[-5:]) < 0.8 * sum(distances[:5])
    for name, parameter in trainer.teacher.generator.named_parameters():
        assert torch.equal(parameter, frozen[name]), name


def test_a_wider_generator_or_another_discriminator_begins_anew(shapes, elder):
    told = []
    plan = Plan(data=[str(shapes)], batch_size=8)
    options = TrainOptions(
        **TINY | {"widths": [16, 8, 8, 8], "discriminator_width": 8}, teacher=elder
    )
    GANTrainer(options, Setup(plan, choose("cpu", "fp32"), note=told.append))
    assert [line.split(":")[0] for line in told] == [
        "2 classes",
        "the generator begins anew",
        "the discriminator begins anew",
    ]


def test_a_teacher_that_does_not_fit_is_refused(shapes, elder):
    with pytest.raises(TrainingError, match="it has latent 8, this training 9; they must be"):
        build(shapes, **TINY | {"latent": 9}, teacher=elder)
    shutil.rmtree(shapes / "squares")
    with pytest.raises(TrainingError, match="it has classes"):
        build(shapes, **TINY, teacher=elder)


def test_weights_of_a_training_bring_its_discriminator(shapes, elder, tmp_path, capsys):
    kept = weights.read_tensors(elder / "checkpoints/0000002.safetensors")
    more = ("--weights", elder, "--steps", 1, "--generator-rate", 1e-9)
    line = arguments(shapes, tmp_path / "on", *more, "--discriminator-rate", 1e-9)
    assert invoke(line) == 0, capsys.readouterr().err
    assert "begins anew" not in capsys.readouterr().err
    now = weights.read_tensors(tmp_path / "on/checkpoints/0000001.safetensors")
    name = "net.discriminator.first.conv1.parametrizations.weight.original"
    assert torch.allclose(now[name], kept[name], atol=1e-6)
    state = weights.read_tensors(elder / "checkpoints/0000002.safetensors")
    state[name] = state[name] + 1  # trained on for another step
    metadata = dict(weights.read_header(elder / "checkpoints/0000002.safetensors").metadata)
    weights.write_tensors(elder / "checkpoints/0000003.safetensors", state, metadata)
    net = build(shapes, **TINY).discriminator
    for file, wanted in (("best", kept[name]), ("weights", state[name])):
        take_network("discriminator", net, elder / f"{file}.safetensors", pytest.fail)
        assert torch.equal(net.state_dict()[name.removeprefix("net.discriminator.")], wanted)
    told = weights.read_header(tmp_path / "on/weights.safetensors").metadata
    assert told["licence"].endswith(
        "; began from elder/weights.safetensors: not stated; follows from the terms of the data"
    )
    for file in (elder / "checkpoints").iterdir():
        file.write_bytes(b"damaged")
    notes = []
    take_network("discriminator", net, elder, notes.append)
    assert "the discriminator begins anew: " in notes[-1]
    assert "no sound checkpoint" in notes[-1]


def test_weights_of_another_layout_are_refused_by_what_differs(shapes, elder, tmp_path, capsys):
    line = arguments(shapes, tmp_path / "wide", "--weights", elder, "--steps", 1)
    line[line.index("--widths") + 1] = "24"
    assert invoke(line) == 2
    error = capsys.readouterr().err
    assert "widths was [16, 8, 8, 4] and is now [24, 8, 8, 4]" in error


def test_weights_of_other_classes_are_trained_on(shapes, elder, tmp_path, capsys):
    (shapes / "squares").rename(shapes / "boxes")
    line = arguments(shapes, tmp_path / "on", "--weights", elder, "--steps", 1)
    assert invoke(line) == 0
    said = capsys.readouterr().err
    assert (
        "classes are others than those of --weights: they begin anew; of the same name: di" in said
    )
    config = weights.read_header(tmp_path / "on/weights.safetensors").config
    assert config["classes"] == ["boxes", "discs"]


def test_the_layout_decides_whether_a_discriminator_goes_on(shapes, elder, tmp_path, capsys):
    more = ("--weights", elder, "--steps", 1)
    line = arguments(shapes, tmp_path / "other", *more, "--discriminator", "pixels")
    assert invoke(line) == 0
    assert f"the discriminator begins anew: that of {elder} has other" in capsys.readouterr().err


def test_it_is_told_which_classes_there_are(shapes, tmp_path, capsys):
    line = arguments(shapes, tmp_path / "classes", "--steps", 1)
    assert invoke(line) == 0
    assert "2 classes: discs, squares" in capsys.readouterr().err
    shutil.copy(shapes / "discs/0.png", shapes / "cover.png")
    assert invoke(arguments(shapes, tmp_path / "none", "--steps", 1)) == 0
    assert (
        "without classes, which are the folders in one folder or archive of --data"
        in capsys.readouterr().err
    )


def test_a_folder_without_labels_trains_without_and_refuses_to_condition(shapes):
    flat = build(shapes / "discs", **TINY)
    assert flat.model.config.classes == ()
    assert play(flat, 1)[0]["discriminator loss"].isfinite()
    with torch.no_grad():
        assert len(flat.preview()[0].tensors) == 80
    with pytest.raises(TrainingError, match="no labels to condition on: pictures outside"):
        build(shapes / "discs", **TINY, conditional=True)
    shutil.rmtree(shapes / "squares")
    with pytest.raises(TrainingError, match="'discs' alone"):
        build(shapes, **TINY, conditional=True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--net dcgan --conditional", "--conditional: the dcgan preset has no classes"),
        ("--net dcgan --latent 8", "--latent: the dcgan preset's is fixed"),
        ("--net dcgan --teacher cifar10", "--teacher: the dcgan preset learns from pictures"),
        ("--teacher-weight 3", "--teacher-weight: needs --teacher"),
        ("--widths 8 8", "--widths: give 4 numbers from 4 to 4096"),
        ("--size 64 --widths 8 8 8 8", "--widths: give 5 numbers"),
        ("--size 48", "--size: must be 32 or 64"),
        ("--augment colour", "did you mean 'color'"),
    ],
)
def test_what_does_not_go_together_is_one_line(shapes, tmp_path, capsys, line, reason):
    words = ["train", "gan", "--data", str(shapes), "-o", str(tmp_path / "run")]
    assert invoke([*words, *line.split()]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
