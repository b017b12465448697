"""Both presets: the layouts, and what makes a picture independent of its batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gentool import WeightsError
from gentool_gan.discriminators import (
    LAYERS,
    DCGANDiscriminator,
    FeatureDiscriminator,
    ResidualDiscriminator,
)
from gentool_gan.narrowing import narrowed
from gentool_gan.nets import GAN, Config, ModulatedNorm, UpConv, dcgan_config
from gentool_perceptual.features import Features

CLASSES = ("cat", "dog", "owl")
NARROW = {32: (16, 8, 8, 4), 64: (16, 16, 8, 8, 4)}


def shapes(net, kind):
    return [tuple(m.weight.shape) for m in net.modules() if isinstance(m, kind)]


def test_dcgan_is_the_classic_layout():
    generator = GAN(dcgan_config(32)).generator
    assert shapes(generator, nn.ConvTranspose2d) == [
        *((100, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4))
    ]
    assert [m.num_features for m in generator.modules() if isinstance(m, nn.BatchNorm2d)] == [
        *(256, 128, 64)
    ]
    assert isinstance(generator.layers[-1], nn.Tanh)
    discriminator = DCGANDiscriminator(dcgan_config(32), 64)
    assert shapes(discriminator, nn.Conv2d) == [
        *((64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (1, 256, 4, 4))
    ]
    slopes = [m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 3


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("net", ["residual", "dcgan"])
def test_pictures_and_logits_have_their_shapes(net, size):
    config = dcgan_config(size) if net == "dcgan" else Config(widths=NARROW[size], classes=CLASSES)
    model = GAN(config)
    labels = torch.tensor([0, 2])
    pictures = model(torch.randn(2, config.latent), labels)
    assert pictures.shape == (2, 3, size, size)
    assert 0 <= pictures.min() < pictures.max() <= 1
    judges = [DCGANDiscriminator(config, 4)]
    if net == "residual":
        features = FeatureDiscriminator(config, 4, Features.load(layers=LAYERS), (1.0, 1.0))
        judges = [ResidualDiscriminator(config, 4), features]
    for judge in judges:
        assert judge(pictures * 2 - 1, labels).shape == (2,)


def test_the_default_fits_its_budget_twice():
    parameters = sum(p.numel() for p in GAN(Config(classes=CLASSES)).parameters())
    assert 2 * 2 * parameters < 6 << 20


def test_upconv_is_enlarging_and_convolving():
    conv, x = UpConv(3, 5, 3, padding=1), torch.randn(2, 3, 6, 7)
    enlarged = F.interpolate(x, scale_factor=2.0)
    expected = F.conv2d(enlarged, conv.weight, conv.bias, padding=1)
    assert torch.allclose(conv(x), expected, atol=1e-5)


def test_a_picture_does_not_depend_on_its_batch():
    model = GAN(Config(widths=NARROW[32], classes=CLASSES))
    latents, labels = torch.randn(9, 128), torch.arange(9) % 3
    model(latents, labels)  # gives BatchNorm statistics of its own
    model.eval()
    alone = model(latents[4:5], labels[4:5])
    assert torch.allclose(model(latents, labels)[4:5], alone, atol=1e-5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean.abs().max() > 0


def test_folded_statistics_equal_batchnorm():
    norm, x, code = ModulatedNorm(5, 7), 3 * torch.randn(4, 5, 6, 6) + 1, torch.randn(4, 7)
    norm(x, code)
    folded = norm.eval()(x, code)
    scale, shift = norm.scale_shift(code)[:, :, None, None].chunk(2, 1)
    assert torch.allclose(folded, norm.norm(x) * (1 + scale) + shift, atol=1e-5)


def test_classes_change_the_picture_and_mix():
    model = GAN(Config(widths=NARROW[32], classes=CLASSES)).eval()
    latents = torch.randn(1, 128).expand(3, -1)
    cat, dog, mixed = model(latents, torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0]]))
    assert torch.allclose(cat, model(latents, torch.tensor([0, 1, 1]))[0], atol=1e-6)
    assert not torch.allclose(cat, dog, atol=1e-3)
    assert not torch.allclose(cat, mixed, atol=1e-3)
    with pytest.raises(ValueError, match="give it labels"):
        model(latents)


def test_a_class_is_heard_beside_the_latent():
    net = GAN(Config(classes=tuple("abcdefghij"))).generator
    latents, labels = torch.randn(64, 128), torch.arange(10).repeat(64)
    code = net.code(latents.repeat_interleave(10, 0), labels)
    for block in net.blocks:
        told = block.norm1.scale_shift(code).view(64, 10, -1)  # a row of classes for each latent
        by_class, by_latent = told.mean(0).var(0).sum(), told.mean(1).var(0).sum()
        assert by_class > 0.1 * by_latent


def test_the_features_that_judge_stay_frozen_and_carry_gradients():
    net = FeatureDiscriminator(Config(classes=CLASSES), 4, Features.load(layers=LAYERS), (1.0, 1.0))
    assert not any(p.requires_grad for p in net.features.parameters())
    pictures = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    net(pictures, torch.tensor([0, 1])).sum().backward()
    assert pictures.grad.abs().min(0).values.min() > 0  # every pixel is judged
    learning = {n for n, p in net.named_parameters() if p.requires_grad}
    assert learning == {n for n, p in net.named_parameters() if p.grad is not None}


def test_the_discriminator_judges_the_class_by_projection():
    net = ResidualDiscriminator(Config(classes=CLASSES), 4).eval()
    pictures = torch.rand(1, 3, 32, 32).expand(3, -1, -1, -1)
    logits = net(pictures, torch.tensor([0, 1, 1]))
    assert logits[0] != logits[1]
    assert torch.isclose(logits[1], logits[2])
    for _ in range(50):
        net.train()(pictures, torch.tensor([0, 1, 2]))
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)
            assert largest.item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"net": "stylegan"}, "net = 'stylegan', must be residual or dcgan"),
        ({"net": []}, r"net = \[\], must be residual or dcgan"),
        ({}, "widths = None, must be whole numbers"),
        ({"widths": 8}, "widths = 8, must be whole numbers"),
        ({"widths": [8, 8, 8, 0]}, r"widths\[3\] = 0, must be 1 to 4096"),
        ({"widths": [8, 8, "8", 8]}, r"widths\[2\] = '8', must be"),
        ({"widths": []}, "0 widths"),
        ({"widths": [8] * 40}, "40 widths, too few or too many"),
        ({"widths": [8] * 4, "latent": 10**9}, "latent = 1000000000"),
        ({"widths": [8] * 4, "classes": "dog"}, "classes must be names"),
        ({"widths": [8] * 4, "classes": [1]}, "classes must be names"),
        ({"net": "dcgan", "widths": [8] * 3, "classes": ["dog"]}, "dcgan has none"),
        ({"widths": [8] * 4, "depth": 3}, "unknown 'depth'"),
    ],
)
def test_a_hostile_config_is_refused(config, reason):
    with pytest.raises(WeightsError, match=reason):
        GAN.from_config(config)


def test_a_config_rebuilds_the_networks():
    model = GAN(Config(widths=NARROW[64], latent=7, classes=CLASSES))
    again = GAN.from_config(model.get_config())
    assert again.config == model.config
    again.load_state_dict(model.state_dict())


def test_a_narrowed_generator_leaves_out_what_is_read_least():
    torch.manual_seed(0)
    wide = GAN(Config(widths=(16, 8, 8, 6), latent=8, classes=CLASSES))
    for _ in range(5):  # statistics that are no longer 0 and 1
        wide(torch.randn(32, 8), torch.randint(3, (32,)))
    wide.eval()
    readers = dict(wide.generator.named_modules())
    with torch.no_grad():
        for name in ("blocks.0.conv1", "blocks.0.skip", "blocks.0.conv2", "blocks.1.conv1"):
            readers[name].weight[:, 1::2] = 0
        readers["blocks.1.skip"].weight[:, 1::2] = 0
        for name in ("blocks.2.conv2", "rgb"):
            readers[name].weight[:, 1:3] = 0
    config = Config(widths=(8, 4, 8, 4), latent=8, classes=CLASSES)
    small = GAN(config).eval()
    small.generator.load_state_dict(narrowed(wide.generator.state_dict(), config.widths))
    latents, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(small(latents, labels), wide(latents, labels), atol=1e-5, rtol=0)
