"""Feature networks and losses, on small random networks of VGG-19's shape."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from gentool import UsageError, WeightsError, losses
from gentool_perceptual.compact import _framed
from gentool_perceptual.features import CONVOLUTIONS, FeatureNet, Features
from gentool_perceptual.losses import (
    ContentLoss,
    GramLoss,
    SlicedWassersteinLoss,
    StatisticsLoss,
    gram,
    statistics,
)


def network(upto, distilled=False):
    torch.manual_seed(0)
    tensors, width = {}, 3
    if distilled:
        tensors["input.weight"], tensors["input.bias"] = (
            torch.eye(3).view(3, 3, 1, 1),
            torch.zeros(3),
        )
    for name in CONVOLUTIONS[: CONVOLUTIONS.index(upto) + 1]:
        tensors[f"conv{name}.weight"] = torch.randn(4, width, 3, 3) / (9 * width) ** 0.5
        tensors[f"conv{name}.bias"] = torch.zeros(4)
        width = 4
        if distilled and name.endswith("_1"):
            tensors[f"to_vgg{name}.weight"] = torch.randn(6, 4, 1, 1)
            tensors[f"to_vgg{name}.bias"] = torch.zeros(6)
    return tensors


def test_layers_halve_the_size_at_each_block():
    net = FeatureNet(network("3_4"))
    found = net(torch.rand(2, 3, 32, 40), ["relu1_1", "relu2_1", "relu3_4"])
    assert {name: tuple(f.shape) for name, f in found.items()} == {
        "relu1_1": (2, 4, 32, 40),
        "relu2_1": (2, 4, 16, 20),
        "relu3_4": (2, 4, 8, 10),
    }
    assert all((f >= 0).all() for f in found.values())


def test_plain_networks_take_the_published_normalisation():
    tensors = network("1_1")
    tensors["conv1_1.weight"] = torch.zeros(4, 3, 3, 3)
    tensors["conv1_1.weight"][0, 0, 1, 1] = 1  # passes red on
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1
    value = FeatureNet(tensors)(red, ["relu1_1"])["relu1_1"][0, 0, 4, 4]
    assert value.item() == pytest.approx(255 - 123.68, abs=1e-3)


def test_other_tensors_of_a_file_are_left_alone():
    tensors = network("1_2") | {"classifier.0.weight": torch.zeros(2, 3)}
    assert FeatureNet(tensors).layers == ("relu1_1", "relu1_2")


def test_each_layer_comes_from_the_first_network_that_has_it():
    exact, distilled = FeatureNet(network("2_2")), FeatureNet(network("4_1", distilled=True))
    found = Features([exact, distilled], ["relu1_1", "relu2_1", "relu4_1"])(
        torch.rand(1, 3, 32, 32)
    )
    assert {name: f.shape[1] for name, f in found.items()} == {
        "relu1_1": 4,
        "relu2_1": 4,
        "relu4_1": 6,  # through the distilled network's head
    }


def test_networks_are_frozen_but_let_gradients_through():
    net = FeatureNet(network("2_1"))
    assert not any(p.requires_grad for p in net.parameters())
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    net(image, ["relu2_1"])["relu2_1"].sum().backward()
    assert image.grad.abs().sum() > 0


def test_unfit_files_and_missing_layers_are_one_line(tmp_path):
    save_file({"a.weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="not a VGG-19 feature network"):
        Features.load([tmp_path / "a.safetensors"])
    for name, tensor in (("bias", None), ("weight", torch.zeros(4, 4))):
        tensors = network("2_1") | {f"conv1_2.{name}": tensor}
        save_file({n: t for n, t in tensors.items() if t is not None}, tmp_path / "c.safetensors")
        with pytest.raises(WeightsError, match="conv1_2 must be a 3x3 convolution of 4 channels"):
            Features.load([tmp_path / "c.safetensors"])
    save_file(network("2_1"), tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match="no feature network given has layer relu3_1, relu4_1"):
        Features.load([tmp_path / "b.safetensors"])


@pytest.mark.parametrize("distilled", [False, True])
def test_pictures_are_as_large_as_their_deepest_layer_needs(distilled):
    net = FeatureNet(network("4_1", distilled))
    assert net(torch.rand(1, 3, 8, 9), ["relu4_1"])["relu4_1"].shape[2:] == (1, 1)
    message = "a picture of 9 x 7 pixels is too small for the features of relu4_1: .* at least 8"
    with pytest.raises(UsageError, match=message):
        net(torch.rand(1, 3, 7, 9), ["relu1_1", "relu4_1"])
    assert net(torch.rand(1, 3, 1, 1), ["relu1_1"])


def test_a_mistyped_network_is_told_what_there_is(tmp_path, monkeypatch):
    message = r"no feature network 'vg19'; did you mean 'vgg19'\? \(there are perceptual and vgg19"
    with pytest.raises(WeightsError, match=message):
        Features.load(["vg19"])
    monkeypatch.chdir(tmp_path)
    save_file(network("4_1"), "vg19")  # a file may be called so
    assert Features.load(["vg19"]).plan


def test_one_network_stands_for_a_list_of_one(tmp_path):
    save_file(network("4_1"), tmp_path / "a.safetensors")
    for one in ("perceptual", tmp_path / "a.safetensors"):
        assert len(Features.load(one).nets) == 1


# the second: more than is brought to float32 at once
@pytest.mark.parametrize("size", [(6, 7), (251, 260)])
def test_statistics_and_gram_are_the_textbook_ones(size):
    torch.manual_seed(0)
    f = torch.rand(2, 5, *size)
    mean, std = statistics(f)
    assert torch.allclose(mean, f.mean((2, 3)))
    assert torch.allclose(std, f.std((2, 3)), atol=1e-5)
    flat = f[1].flatten(1)
    assert torch.allclose(gram(f)[1], flat @ flat.T / flat.shape[1], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "term"), [("content", "content"), ("style-statistics", "style"), ("gram", "gram")]
)
def test_losses_by_name_are_zero_at_the_target_and_relative(name, term):
    torch.manual_seed(0)
    loss = losses.get(name)(["relu1_1"])
    f = {"relu1_1": torch.rand(2, 4, 8, 8)}
    assert loss(f, f)[term].item() == pytest.approx(0, abs=1e-9)
    other = {"relu1_1": torch.rand(2, 4, 8, 8)}
    tenfold = [{"relu1_1": 10 * maps["relu1_1"]} for maps in (f, other)]
    assert loss(f, other)[term].item() == pytest.approx(loss(*tenfold)[term].item(), rel=1e-3)


def test_style_losses_compare_pictures_of_different_sizes():
    a, b = {"x": torch.rand(1, 4, 8, 8)}, {"x": torch.rand(1, 4, 5, 9)}
    assert StatisticsLoss(["x"])(a, b)["style"].isfinite()
    assert GramLoss(["x"])(a, b)["gram"].isfinite()


@pytest.mark.parametrize("backward_inside", [False, True])
def test_gram_is_float32_inside_autocast_and_so_is_its_gradient(backward_inside):
    torch.manual_seed(0)
    alone, inside = (torch.rand(2, 5, 6, 7).requires_grad_() for _ in range(2))
    with torch.no_grad():
        inside.copy_(alone)
    gram(alone).square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        total = gram(inside).square().sum()
        if backward_inside:
            total.backward()
    if not backward_inside:
        total.backward()
    assert torch.equal(inside.grad, alone.grad)


def test_sliced_wasserstein_is_float32_inside_autocast():
    a, b = ({"x": torch.rand(1, 4, 8, 8)} for _ in range(2))
    terms = []
    for enabled in (False, True):
        loss = SlicedWassersteinLoss(["x"], generator=torch.Generator().manual_seed(0))
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            terms.append(loss(a, b)["sliced-wasserstein"])
    assert torch.equal(*terms)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_gradients_of_statistics_and_gram_are_those_of_the_plain_formulas(dtype, error):
    torch.manual_seed(0)
    maps, weights = torch.rand(3, 5, 9, 8).to(dtype), torch.rand(3, 5, 7)

    def gradient(function):
        leaf = maps.clone().requires_grad_()
        mean, std, product = function(leaf)
        combined = torch.cat([mean[:, :, None], std[:, :, None], product], 2)
        (combined * weights).sum().backward()
        return leaf.grad.float()

    def plain(f):
        flat = f.float().flatten(2)
        return flat.mean(2), (flat.var(2) + 1e-8).sqrt(), flat @ flat.transpose(1, 2) / 72

    found, wanted = gradient(lambda f: (*statistics(f), gram(f))), gradient(plain)
    assert (found - wanted).abs().max() < error * wanted.abs().max()


def test_a_map_of_one_position_has_no_spread():
    mean, std = statistics(torch.rand(1, 3, 1, 1))
    assert mean.isfinite().all()
    assert (std < 1e-3).all()


def test_losses_are_float32_under_bf16_features():
    a, b = ({"x": torch.rand(1, 4, 8, 8).bfloat16()} for _ in range(2))
    assert ContentLoss(["x"])(a, b)["content"].dtype == torch.float32
    assert GramLoss(["x"])(a, b)["gram"].dtype == torch.float32


def test_the_compiled_network_repeats_edges_alike():
    x = torch.rand(2, 3, 5, 4)
    compiled = torch.compile(_framed, backend="eager")
    assert torch.equal(compiled(x), F.pad(x, (1, 1, 1, 1), mode="replicate"))
    assert torch.equal(_framed(x), compiled(x))
