"""Methods in Python: what goes in, what comes out, and what is left as it was."""

import copy
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import gentool
from gentool import BatchError, UsageError, cards, encoding
from gentool.runner import Method


@pytest.fixture(scope="module")
def adain():
    return gentool.load("adain", seed=0)


def test_api_takes_paths_images_and_tensors_and_gives_equal_pictures(adain, pictures):
    path = pictures / "content.png"
    style = Image.open(pictures / "style.png")
    with Image.open(path) as image:
        tensor = torch.from_numpy(data.chelsea()).permute(2, 0, 1) / 255
        from_path = adain.stylize(content=path, style=style)
        from_image = adain.stylize(content=image.copy(), style=str(pictures / "style.png"))
    assert torch.equal(from_path.tensor, from_image.tensor)
    assert from_path.image.size == (96, 72)
    assert adain.stylize(content=tensor, style=style).tensor.shape == tensor.shape
    style.close()


def test_api_takes_arrays_and_the_results_of_other_actions(adain, pictures):
    style = pictures / "style.png"
    painted = adain.stylize(content=pictures / "content.png", style=style)
    again = adain.stylize(content=painted, style=[painted[0], np.asarray(Image.open(style))])
    assert len(again) == 2
    for result, of_image in zip(again, [painted.image, Image.open(style)], strict=True):
        same = adain.stylize(content=painted.image, style=of_image)
        assert torch.equal(result.tensor, same.tensor)


def test_api_saves(adain, pictures, tmp_path):
    result = adain.stylize(content=pictures / "content.png", style=pictures / "style.png")
    with Image.open(result.save(tmp_path / "o.png")) as image:
        assert image.size == (96, 72)
    made = encoding.read_metadata(tmp_path / "o.png")
    assert made["seed"] == 0
    assert made["method"] == "adain"


def test_each_of_several_results_says_how_it_was_made(adain, pictures, tmp_path):
    for result in adain.stylize(content=pictures, style=pictures / "style.png"):
        path = result.save(tmp_path / f"{result.name}.png")
        content = encoding.read_metadata(path)["options"]["content"]
        assert content.split(".")[0] == result.name.split("-")[0]
    assert encoding.read_metadata(result.save(path, {})) is None


def test_api_errors_name_arguments_not_flags(adain, pictures):
    with pytest.raises(UsageError, match=r"^alpha: must be between 0 and 1, got 7$"):
        adain.stylize(content=pictures, style=pictures, alpha=7)
    with pytest.raises(UsageError, match="alhpa: no such option; did you mean 'alpha'"):
        adain.stylize(content=pictures, style=pictures, alhpa=1)
    with pytest.raises(AttributeError, match="adain has no action 'paint'"):
        adain.paint()


def test_api_batch_failures_raise_at_the_end_with_the_rest(adain, pictures):
    (pictures / "a.png").write_bytes(b"")
    with pytest.raises(BatchError, match=r"1 failed: a\.png") as error:
        adain.stylize(content=pictures, style=pictures / "style.png")
    assert len(error.value.results) == 2
    assert error.value.failures[0][0] == "a.png"
    assert [made["options"]["content"] for made in error.value.results.provenance] == [
        "content.png",
        "style.png",
    ]


def test_several_results_are_a_list(adain, pictures):
    results = adain.stylize(content=pictures, style=pictures / "style.png")
    assert len(results) == 2
    with pytest.raises(UsageError, match="there are 2 results"):
        results.save("x.png")


def test_alpha_of_the_content_is_kept(adain, tmp_path, pictures):
    image = Image.fromarray(data.chelsea()).resize((60, 44)).convert("RGBA")
    mask = Image.linear_gradient("L").resize(image.size)
    image.putalpha(mask)
    image.save(tmp_path / "a.png")
    painted = adain.stylize(content=tmp_path / "a.png", style=pictures / "style.png").image
    assert painted.mode == "RGBA"
    assert painted.getchannel("A").tobytes() == mask.tobytes()


def test_an_error_inside_of_a_model_shows_as_itself(saved_elsewhere):
    method = saved_elsewhere
    with pytest.raises(AttributeError, match="encodr"):
        method.model  # noqa: B018
    assert copy.copy(method).settings == method.settings
    with pytest.raises(AttributeError, match="no action 'strike'"):
        method.strike  # noqa: B018


class Misspelt:
    @classmethod
    def from_config(cls, config):
        return cls()

    @property
    def networks(self):
        return {"net": self.encodr}

    def get_config(self):
        return {}


@pytest.fixture
def saved_elsewhere():
    action = cards.Action("go", "Go.", "test_api:Nothing", "test_api:go")
    model = f"{__name__}:Misspelt"
    return Method(cards.Card("misspelt", "test", "A test.", "none", (action,), model))


class Untrained:
    def __init__(self):
        self.networks = {"net": torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout())}

    @classmethod
    def from_config(cls, config):
        return cls()

    def get_config(self):
        return {}


def test_networks_without_weights_are_always_the_same_and_ready_for_inference():
    action = cards.Action("go", "Go.", "test_api:Nothing", "test_api:go")
    card = cards.Card("untrained", "test", "A test.", "none", (action,), f"{__name__}:Untrained")
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        net = Method(card).model.networks["net"]
        assert torch.equal(torch.get_rng_state(), before)
        assert not net.training
        found.append(net[0].weight)
        assert not found[-1].requires_grad
    assert torch.equal(*found)


def test_the_caller_is_not_in_inference_mode_and_can_train_the_model(adain, pictures):
    options = adain.options(content=pictures / "content.png", style=pictures / "style.png")
    for artifact in adain.stream(None, options, adain.context()):
        assert not torch.is_inference_mode_enabled()
        assert artifact.tensor.shape == (3, 72, 96)
    for net in adain.model.networks.values():
        assert not any(p.is_inference() for p in net.parameters())


@pytest.mark.skipif(sys.platform != "linux", reason="names are text on other systems")
def test_results_are_the_callers_to_change_and_to_differentiate_through(adain, pictures):
    content = torch.rand(4, 16, 24)
    before = content.clone()
    (result,) = adain.stylize(content=content, style=pictures / "style.png")
    scale = torch.ones((), requires_grad=True)
    (result.tensor * scale).mean().backward()
    assert scale.grad == pytest.approx(result.tensor.mean())
    result.tensor.mul_(0.5)
    result.alpha.mul_(0)
    assert torch.equal(content, before)


def test_the_callers_draws_go_on_as_if_there_were_no_run(adain, pictures):
    torch.manual_seed(123)
    wanted = [torch.rand(()).item() for _ in range(3)]
    torch.manual_seed(123)
    content, style = pictures / "content.png", pictures / "style.png"
    options = adain.options("stylize", content=[content, style, content], style=style)
    stream = adain.stream("stylize", options, adain.context())
    assert [torch.rand(()).item() for _ in stream] == wanted


def test_what_accompanies_a_result_is_not_in_its_way(tmp_path):
    picture = data.coffee()[:64, :64]
    results = gentool.load("cnn-ae").reconstruct(input=picture)
    assert len(results) == 2
    assert results.image.size == (64, 64)
    results.save(tmp_path / "a.png")
    assert encoding.read_metadata(tmp_path / "a.png")["method"] == "cnn-ae"


def test_results_with_companions_are_pictures_too(adain, pictures):
    picture = data.coffee()[:64, :64]
    results = gentool.load("cnn-ae").reconstruct(input=picture)
    style = pictures / "style.png"
    (painted,) = adain.stylize(content=results, style=style)
    assert torch.equal(painted.tensor, adain.stylize(content=results.image, style=style).tensor)
    assert len(adain.stylize(content=[*results, picture, results], style=style)) == 3
    with pytest.raises(UsageError, match=r"content: must be a path, .* got Figures"):
        adain.stylize(content=results[1], style=style)
    with pytest.raises(UsageError, match="content: at least one picture is needed"):
        adain.stylize(content=[results[1]], style=style)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"device": None}, "device: must be auto, cpu, mps, cuda or cuda:N, got None"),
        ({"device": "tpu"}, "device: must be auto, cpu, mps, cuda or cuda:N, got 'tpu'"),
        ({"precision": 16}, "precision: must be one of auto, fp32, bf16, fp16, got 16"),
        ({"threads": "2"}, "threads: must be a whole number from 1 to 1024, got '2'"),
        ({"threads": 0}, "threads: must be a whole number from 1 to 1024, got 0"),
        ({"seed": 1.5}, "seed: must be a whole number from 0 to 2^63 - 1, got 1.5"),
    ],
)
def test_what_no_machine_takes_is_refused_when_a_method_is_loaded(given, said):
    with pytest.raises(UsageError) as caught:
        gentool.load("adain", **given)
    assert str(caught.value) == said
