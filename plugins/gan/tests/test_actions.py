"""sample, interpolate and project on a tiny generator."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

import gentool
from gentool import GentoolError, UsageError, weights
from gentool.cli.main import invoke
from gentool.images import to_size
from gentool_gan.actions import generate
from gentool_gan.latents import draw, walk
from gentool_gan.nets import GAN, Config
from gentool_gan.options import InterpolateOptions
from gentool_gan.project import STARTS, fit

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of tiny generators, with classes and without."""
    folder = tmp_path_factory.mktemp("gan")
    torch.manual_seed(0)
    for name, classes in (("classes", CLASSES), ("plain", ())):
        model = GAN(Config(widths=(16, 8, 8, 4), latent=16, classes=classes))
        for _ in range(5):
            model(torch.randn(32, 16), torch.randint(3, (32,)))
        weights.save(folder / f"{name}.safetensors", model, "gan")
    return folder


@pytest.fixture(scope="module")
def gan(files):
    return gentool.load("gan", weights=files / "classes.safetensors", seed=5, device="cpu")


@pytest.fixture(scope="module")
def plain(files):
    return gentool.load("gan", weights=files / "plain.safetensors", seed=5, device="cpu")


def test_picture_k_is_the_same_whatever_else_is_drawn(gan):
    model, context = gan.model, gan.context()
    latents = [draw(model, context, k)[0] for k in range(3)]
    assert torch.equal(latents[2], draw(model, gan.context(), 2)[0])
    assert len({tuple(latent.tolist()) for latent in latents}) == 3
    few, many = gan.sample(n=3), gan.sample(n=70)
    for a, b in zip(few, many, strict=False):
        assert a.name == b.name
        assert (a.tensor - b.tensor).abs().max() < 1 / 255
    other = gentool.load("gan", weights=gan.weights, seed=6, device="cpu").sample(n=1)
    assert not torch.allclose(other.tensor, few[0].tensor, atol=1e-3)


@pytest.mark.parametrize("label", [None, ["owl", "cat"]])
def test_a_picture_can_be_had_alone_by_its_number(gan, label):
    many = gan.sample(n=6, label=label)
    some = gan.sample(n=2, first=3, label=label)
    assert [image.name for image in some] == [image.name for image in many[3:5]]
    assert some[0].name.endswith("-0003")
    for alone, wanted in zip(some, many[3:5], strict=True):
        assert torch.allclose(alone.tensor, wanted.tensor, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "label", "size"), [("cifar10", "ship", 32), ("clothing96", "shoes", 64)]
)
def test_each_packaged_set_draws_pictures_of_its_classes(name, label, size):
    images = gentool.load("gan", weights=name, seed=0, device="cpu").sample(n=2, label=label)
    assert [image.name for image in images] == [f"{label}-0000", f"{label}-0001"]
    for image in images:
        assert image.tensor.shape == (3, size, size)
        assert image.tensor.std() > 0.05


def test_labels_take_turns_and_are_drawn_where_none_is_given(gan):
    names = [image.name for image in gan.sample(n=4, label=["owl", "cat"])]
    assert names == ["owl-0000", "cat-0001", "owl-0002", "cat-0003"]
    drawn = {image.name.partition("-")[0] for image in gan.sample(n=40)}
    assert drawn == set(CLASSES)


def test_truncation_brings_pictures_together(gan):
    def spread(truncation):
        images = gan.sample(n=12, label=["dog"], truncation=truncation)
        return torch.stack([image.tensor for image in images]).std(0).mean()

    assert spread(0) < 1e-6
    assert spread(0.5) < spread(1.0)


def test_a_grid_has_its_columns_and_size(gan):
    sheet = gan.sample(n=5, grid=3, upscale=2)[0]
    assert sheet.columns == 3
    assert sheet.tensor.shape == (3, 2 * 64 + 2, 3 * 64 + 4)
    assert gan.sample(n=2, grid=8)[0].columns == 2


def test_interpolate_walks_between_the_samples_that_were_picked(gan):
    film = gan.interpolate(pick=[9, 2], steps=2, upscale=1)[0]
    assert len(film.frames) == 4
    for frame, number in ((0, 9), (2, 2)):
        assert (film.frames[frame] - gan.sample(first=number)[0].tensor).abs().max() < 1e-5
    labelled = gan.interpolate(pick=[9, 2], label=["cat", "owl"], steps=1, upscale=1)[0]
    cat = gan.sample(first=2, label=["cat"])[0].tensor  # labels take turns by the number
    assert (labelled.frames[1] - cat).abs().max() < 1e-5
    for wrong in ({"n": 2}, {"latents": ["a.safetensors"]}, {"label": ["cat", "dog", "owl"]}):
        with pytest.raises(UsageError, match="pick: "):
            gan.interpolate(pick=[9, 2], **wrong)


def test_interpolate_ends_where_it_began(gan, tmp_path):
    film = gan.interpolate(n=3, steps=4, label=["cat", "owl"], upscale=1, fps=10)[0]
    assert len(film.frames) == 12
    gaps = [
        (a - b).abs().mean()
        for a, b in zip(film.frames, [*film.frames[1:], film.frames[0]], strict=True)
    ]
    assert max(gaps) < 4 * sum(gaps) / len(gaps)  # the last step, to the first, is no jump
    first = gan.sample(n=1, label=["cat"])
    assert torch.allclose(film.frames[0], first.tensor, atol=1e-4)
    with Image.open(film.save(tmp_path / "walk.gif")) as animation:
        assert animation.n_frames == 12


def test_a_walk_passes_through_every_latent():
    a, b = torch.randn(2, 400)
    path = walk(torch.stack([a, b]), 5)
    assert path.shape == (10, 400)
    assert torch.allclose(path[0], a, atol=1e-5)
    assert torch.allclose(path[5], b, atol=1e-5)
    corners = torch.eye(2)
    shares = walk(corners, 4, torch.lerp)
    assert torch.equal(shares[:5, 1], torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    assert torch.equal(shares.sum(1), torch.ones(8))


def test_a_generator_without_classes_takes_no_labels(plain):
    latents = torch.stack([draw(plain.model, plain.context(), k)[0] for k in range(2)])
    made = [*generate(plain.model, latents, None, plain.context())]
    assert torch.allclose(made[1], plain.sample(n=2)[1].tensor, atol=1e-5)
    assert len(plain.interpolate(n=2, steps=2, upscale=1)[0].frames) == 4


def test_project_finds_a_picture_of_its_own(gan):
    wanted = gan.sample(n=3, label=["owl"])[2].tensor
    found, latent = gan.project(image=wanted, steps=40)
    others = torch.stack([image.tensor for image in gan.sample(n=20)])
    usual = (others - wanted).square().mean((1, 2, 3)).min()
    assert (found.tensor - wanted).square().mean() < usual / 2
    assert latent.part == "latent"


def test_project_computes_as_exactly_as_sample(plain):
    seen = []
    hook = plain.model.register_forward_hook(
        lambda *_: seen.append(torch.backends.cudnn.allow_tf32)
    )
    plain.project(image=torch.rand(3, 32, 32), steps=2)
    hook.remove()
    assert seen
    assert not any(seen)


def test_many_classes_are_looked_at_in_parts():
    model = GAN(Config(widths=(8, 4, 2, 1), latent=4, classes=tuple(map(str, range(70))))).eval()
    seen = []
    model.register_forward_hook(lambda _module, given, _made: seen.append(len(given[0])))
    generator = torch.Generator().manual_seed(0)
    latent, label = fit(model, torch.rand(3, 32, 32), list(range(70)), 4, generator)
    assert latent.shape == (4,)
    assert 0 <= label < 70
    assert max(seen) == STARTS


def test_a_projected_latent_gives_its_picture_back(files, gan, tmp_path, capsys):
    Image.fromarray(data.chelsea()).resize((60, 45)).save(tmp_path / "tabby.png")
    line = ["run", "gan", "project", "--image", str(tmp_path / "tabby.png"), "--steps", "8"]
    more = ["--weights", str(files / "classes.safetensors"), "--seed", "1", "--label", "dog"]
    assert invoke([*line, *more, "-o", f"{tmp_path}/"]) == 0
    assert "tabby.png: brought from 60x45 to 32x32" in capsys.readouterr().err
    latents = tmp_path / "tabby-gan-latent.safetensors"
    (again,) = gan.sample(latents=[latents])
    assert again.name == "dog-0000"
    walk = gan.interpolate(latents=[latents, latents], steps=2, upscale=1)[0]
    assert torch.allclose(walk.frames[3], again.tensor, atol=1e-5)
    with Image.open(tmp_path / "tabby-gan.png") as found:
        shown = torch.tensor(list(found.convert("RGB").tobytes())).view(32, 32, 3) / 255
    assert (again.tensor.permute(1, 2, 0) - shown).abs().max() < 1.5 / 255


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16", "P", "1"])
def test_any_kind_of_picture_is_projected_as_its_middle_square(plain, tmp_path, odd_picture, mode):
    image, seen = odd_picture(mode, 50, 40)
    image.save(tmp_path / "odd.png")
    found, _ = plain.project(image=tmp_path / "odd.png", steps=4)
    wanted, _ = plain.project(image=to_size(seen[:, 5:45], (32, 32)), steps=4)
    assert found.tensor.shape == (3, 32, 32)
    assert torch.allclose(found.tensor, wanted.tensor, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"n": 0}, "n: must be between 1 and 100000, got 0"),
        ({"truncation": 1.5}, "truncation: must be between 0 and 1, got 1.5"),
        ({"truncation": -1}, "truncation: must be between 0 and 1, got -1"),
        ({"label": ["dgo"]}, r"no class 'dgo'; did you mean 'dog'\? \(they have cat, dog, owl\)"),
        ({"label": []}, "label"),
        ({"n": 1, "label": ["dog", "cat"]}, "n: 2 labels need as many pictures, got 1"),
        ({"grid": 0}, "grid: must be between 1 and 1000"),
        ({"first": -1}, "first: must be at least 0, got -1"),
        ({"first": 2, "latents": ["z"]}, "first: the files of latents say which; leave it out"),
    ],
)
def test_bad_values_are_one_line(gan, options, reason):
    with pytest.raises(UsageError, match=reason):
        gan.sample(**options)


@pytest.mark.parametrize("fps", [0.05, 101])
def test_frame_rates_that_no_animation_has_are_refused_before_it_is_drawn(gan, fps):
    with pytest.raises(UsageError, match=f"fps: must be between 0.1 and 100, got {fps}"):
        gan.interpolate(fps=fps)


def test_provenance_tells_the_precision_that_was_computed_in(files):
    asked = gentool.load("gan", weights=files / "plain.safetensors", precision="bf16", seed=0)
    assert asked.sample().provenance[0]["precision"] == "fp32"


def test_every_label_is_drawn(gan, tmp_path):
    one = tmp_path / "one.safetensors"
    save_file({"latents": torch.zeros(1, 16)}, one)
    assert [image.name for image in gan.sample(label=["dog", "cat"])] == ["dog-0000", "cat-0001"]
    assert len(gan.sample(n=3, label=["dog", "cat"])) == 3
    with pytest.raises(UsageError, match="--label: 2 for 1 of --latents; name fewer"):
        gan.sample(latents=[one], label=["dog", "cat"])
    walks = [InterpolateOptions(label=label).count for label in (None, ["dog"], ["dog"] * 7)]
    assert walks == [6, 6, 7]


def test_labels_need_classes(plain):
    with pytest.raises(UsageError, match="these weights know no classes"):
        plain.sample(label=["dog"])
    assert plain.sample(n=2)[1].name == "sample-0001"


def test_latents_that_do_not_fit_are_one_line(gan, tmp_path):
    def refused(tensors, reason, metadata=None):
        save_file(tensors, tmp_path / "z.safetensors", metadata)
        with pytest.raises(GentoolError, match=reason) as caught:
            gan.sample(latents=[tmp_path / "z.safetensors"])
        assert "\n" not in str(caught.value)

    refused({"latents": torch.zeros(2, 100)}, "2 of 100 numbers each, but these weights take 16")
    refused({"latents": torch.zeros(0, 16)}, "no latents in it")
    refused({"z": torch.zeros(2, 16)}, "no latents in it; `gentool run gan project` writes them")
    refused({"latents": torch.full((1, 16), float("nan"))}, "not finite")
    refused({"latents": torch.full((1, 16), torch.inf).to(torch.float8_e5m2)}, "not finite")
    good = {"latents": torch.zeros(1, 16)}
    refused(good, "not a JSON object", {"about": "{"})
    refused(good, "not a list of names", {"about": json.dumps({"classes": "cat"})})
    refused(good, "no class 'fox'", {"about": json.dumps({"classes": ["fox"]})})
    refused(good, "1 latents, but 2 classes", {"about": json.dumps({"classes": ["cat", "dog"]})})
    refused(good, "made with other weights", {"about": json.dumps({"model": "0123"})})
    with pytest.raises(GentoolError, match=r"^--latents .*: no such file$"):
        gan.sample(latents=[tmp_path / "none.safetensors"])
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(GentoolError, match=r"--latents .*not a safetensors file"):
        gan.sample(latents=[tmp_path / "text.safetensors"])
    with pytest.raises(GentoolError, match=r"^--latents .*: is a folder"):
        gan.sample(latents=[tmp_path])
    save_file(good, tmp_path / "one.safetensors")
    with pytest.raises(GentoolError, match="two or more to walk between, got 1"):
        gan.interpolate(latents=[tmp_path / "one.safetensors"])


def test_a_latents_path_that_no_system_takes_is_one_line(files, tmp_path, capsys):
    (tmp_path / "one.png").write_text("of a run before")
    line = ["run", "gan", "--weights", str(files / "plain.safetensors"), "--latents", "a" * 300]
    assert invoke([*line, "-o", str(tmp_path / "one.png")]) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert f"--latents {'a' * 300}: " in said


def test_latents_that_are_too_large_make_no_black_picture(gan, tmp_path):
    save_file({"latents": torch.full((1, 16), 1e10)}, tmp_path / "huge.safetensors")
    with pytest.raises(GentoolError, match="not finite: those of --weights or --latents"):
        gan.sample(latents=[tmp_path / "huge.safetensors"])


def test_weights_that_are_no_numbers_make_no_black_picture(files, tmp_path):
    model = weights.load(GAN, files / "plain.safetensors", "gan")
    model.generator.rgb.bias.fill_(torch.nan)
    weights.save(tmp_path / "nan.safetensors", model, "gan")
    bad = gentool.load("gan", weights=tmp_path / "nan.safetensors", seed=0, device="cpu")
    for action, options in (
        ("sample", {}),
        ("project", {"image": torch.rand(3, 9, 9), "steps": 1}),
    ):
        with pytest.raises(GentoolError, match="not finite"):
            bad.run(action, **options)


def test_latents_written_before_stay_readable(gan, tmp_path):
    about = {"classes": ["owl"], "model": weights.fingerprint(gan.model.generator)}
    path = tmp_path / "before.safetensors"
    save_file({"latents": torch.zeros(1, 16)}, path, {"about": json.dumps(about)})
    assert gan.sample(latents=[path])[0].name == "owl-0000"


def test_each_latent_keeps_its_own_class(gan, tmp_path):
    latents = {"latents": torch.randn(1, 16)}
    for name, classes in (("a", ["cat"]), ("b", []), ("c", ["dog"])):
        about = {"about": json.dumps({"classes": classes})}
        save_file(latents, tmp_path / f"{name}.safetensors", about)
    given = [tmp_path / f"{name}.safetensors" for name in "abc"]
    first, second, third = gan.sample(latents=given)
    assert (first.name, third.name) == ("cat-0000", "dog-0002")
    drawn = gan.sample(n=2)[1].name  # as that of picture number 1 is
    assert second.name == drawn


def test_latents_from_the_command_line(files, tmp_path, capsys):
    for name in "ab":
        save_file({"latents": torch.randn(1, 16)}, tmp_path / f"{name}.safetensors")
    a, b = (str(tmp_path / f"{name}.safetensors") for name in "ab")
    given = ["--weights", str(files / "classes.safetensors"), "--seed", "0", "-o"]
    assert invoke(["run", "gan", "--latents", a, *given, str(tmp_path / "one.png")]) == 0
    line = ["run", "gan", "interpolate", "--latents", a, b, "--steps", "2", *given]
    assert invoke([*line, str(tmp_path / "walk.gif")]) == 0
    assert (tmp_path / "one.png").exists()
    assert (tmp_path / "walk.gif").exists()
    capsys.readouterr()
    assert invoke(["run", "gan", "--latents", a, b, *given, str(tmp_path / "two.png")]) == 2
    assert "several results" in capsys.readouterr().err
    assert invoke(["run", "gan", "--latents", a, "--n", "3", *given, f"{tmp_path}/"]) == 2
    assert "--n: the files of --latents say how many; leave it out" in capsys.readouterr().err


def test_from_the_command_line(files, tmp_path, capsys):
    given = ["--weights", str(files / "classes.safetensors"), "--seed", "0"]
    assert invoke(["run", "gan", "--n", "3", *given, "-o", f"{tmp_path}/many/"]) == 0
    assert len(list((tmp_path / "many").iterdir())) == 3
    capsys.readouterr()
    assert invoke(["run", "gan", "--n", "3", *given, "-o", str(tmp_path / "one.png")]) == 2
    assert "several results" in capsys.readouterr().err
    assert invoke(["run", "gan", "--label", "dgo", *given]) == 2
    assert "did you mean 'dog'" in capsys.readouterr().err
    assert invoke(["info", str(files / "classes.safetensors")]) == 0
    assert "cat, dog, owl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("action", "options", "flags"),
    [
        ("sample", {"n": 100_000, "grid": 1000, "upscale": 32}, "--n"),
        ("sample", {"label": ["ship"] * 200, "grid": 9, "upscale": 32}, "--label"),
        ("sample", {"latents": ["many"], "grid": 9, "upscale": 32}, "--latents"),
        ("interpolate", {"n": 60, "steps": 120, "upscale": 32}, "--n and --steps"),
        ("interpolate", {"label": ["ship"], "steps": 120, "upscale": 32}, "--n and --steps"),
        (
            "interpolate",
            {"label": ["ship"] * 9, "steps": 120, "upscale": 32},
            "--label and --steps",
        ),
        ("interpolate", {"latents": ["many"], "upscale": 32}, "--latents and --steps"),
    ],
)
def test_what_no_file_holds_is_refused_before_it_is_drawn(
    tmp_path, monkeypatch, action, options, flags
):
    monkeypatch.chdir(tmp_path)
    save_file({"latents": torch.zeros(200, 128)}, "many")
    gan = gentool.load("gan", device="cpu", seed=0)
    with pytest.raises(GentoolError, match=f"^{flags}: .* are too many for one file"):
        gan.run(action, **options)
