"""The AdaIN network, its action and its colors, on the packaged weights and on tiny networks."""

import pytest
import torch
from PIL import Image
from skimage import data

import gentool
from gentool import WeightsError, weights
from gentool_adain.nets import AdaIN, Config
from gentool_adain.statistics import Style, adain

TINY = Config(width2=4, width4=8, width8=8, code=4, blocks8=1, blocks4=1)


def picture(array, size=None):
    image = Image.fromarray(array)
    image = image.resize(size) if size else image
    return torch.from_numpy(__import__("numpy").array(image)).permute(2, 0, 1) / 255


@pytest.fixture(scope="module")
def method():
    return gentool.load("adain", precision="fp32", seed=0)


@pytest.fixture(scope="module")
def content():
    return picture(data.chelsea(), (225, 150))


@pytest.fixture(scope="module")
def style():
    return picture(data.coffee(), (150, 100))


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 300), (300, 1), (7, 9), (8, 8), (17, 15), (33, 200), (5, 700)]
)
def test_any_size_keeps_its_exact_size(method, style, height, width):
    torch.manual_seed(0)
    result = method.stylize(content=torch.rand(3, height, width), style=style).tensor
    assert result.shape == (3, height, width)
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 1


def test_any_style_size_and_flat_pictures_give_finite_pictures(method, content):
    for flat in (torch.zeros(3, 1, 1), torch.ones(3, 40, 3), torch.full((3, 64, 64), 0.5)):
        assert method.stylize(content=content, style=flat).tensor.isfinite().all()
        assert method.stylize(content=flat, style=content).tensor.isfinite().all()


def test_takes_colors_from_the_style_and_shapes_from_the_content(method, content, style):
    painted = method.stylize(content=content, style=style).tensor
    to_style = (painted.mean((1, 2)) - style.mean((1, 2))).abs().max()
    assert to_style < (content.mean((1, 2)) - style.mean((1, 2))).abs().max()
    grey, painted_grey = content.mean(0).flatten(), painted.mean(0).flatten()
    assert torch.corrcoef(torch.stack([grey, painted_grey]))[0, 1] > 0.6


def test_alpha_0_gives_the_content_back(method, content, style):
    same = method.stylize(content=content, style=style, alpha=0).tensor
    painted = method.stylize(content=content, style=style, alpha=1).tensor
    assert (same - content).abs().mean() < 0.06
    assert (painted - content).abs().mean() > 2 * (same - content).abs().mean()


def test_the_same_call_gives_the_same_picture(method, content, style):
    first = method.stylize(content=content, style=style).tensor
    assert torch.equal(first, method.stylize(content=content, style=style).tensor)


def test_batch_equals_singles():
    torch.manual_seed(0)
    net = AdaIN(TINY).eval()
    torch.nn.init.normal_(net.decoder.strokes8.scale.weight)  # untrained, it starts at zero
    contents, styles = torch.rand(3, 3, 32, 40), torch.rand(3, 3, 24, 24)
    with torch.no_grad():
        features, target = net.encoder(contents), Style.of(net.encoder(styles))
        own, noise = Style.of(features), net.noise(features)
        together = net.decode(features, own, target, noise)
        for i in range(3):
            one = [tuple(f[i : i + 1] for f in group) for group in (features, noise)]
            part = [Style(*(s[i : i + 1] for s in style)) for style in (own, target)]
            single = net.decode(one[0], *part, one[1])
            assert torch.allclose(together[i], single[0], atol=1e-4)


def test_the_seed_places_the_strokes(content, style):
    pictures = [
        gentool.load("adain", seed=seed).stylize(content=content, style=style).tensor
        for seed in (1, 1, 2)
    ]
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_bf16_is_close_to_fp32(method, content, style):
    half = (
        gentool.load("adain", precision="bf16", seed=0).stylize(content=content, style=style).tensor
    )
    full = method.stylize(content=content, style=style).tensor
    assert (half - full).abs().mean() < 0.02


def test_bf16_keeps_the_colours_of_smooth_contents(method, style):
    flat = torch.full((3, 96, 128), 0.8)
    flat[0] += torch.linspace(0, 0.02, 128)
    half = gentool.load("adain", precision="bf16", seed=0)
    painted = half.stylize(content=flat, style=style, tile=64).tensor
    whole = half.stylize(content=flat, style=style).tensor
    full = method.stylize(content=flat, style=style).tensor
    assert (painted - whole).abs().mean() < 0.5 / 255
    assert (painted.mean((1, 2)) - full.mean((1, 2))).abs().max() < 3 / 255


def test_content_size_and_preserve_color(method, content, style):
    small = method.stylize(content=content, style=style, content_size=90).tensor
    assert small.shape == (3, 60, 90)
    kept = method.stylize(content=content, style=style, preserve_color="luminance").tensor
    chroma = kept - kept.mean(0)
    wanted = content - content.mean(0)
    free = method.stylize(content=content, style=style).tensor
    assert (chroma - wanted).abs().mean() < (free - free.mean(0) - wanted).abs().mean()
    matched = method.stylize(content=content, style=style, preserve_color="histogram").tensor
    off = (matched.mean((1, 2)) - content.mean((1, 2))).abs().max()
    assert off < (free.mean((1, 2)) - content.mean((1, 2))).abs().max()


def test_adain_gives_the_statistics_asked_for():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 9, 11) * 3 + 1
    mean, std = torch.randn(2, 5), torch.rand(2, 5) + 0.5
    own_mean, own_std = features.mean((2, 3)), features.std((2, 3), correction=0)
    result = adain(features, own_mean, own_std, mean, std)
    assert torch.allclose(result.mean((2, 3)), mean, atol=1e-5)
    assert torch.allclose(result.std((2, 3), correction=0), std, atol=1e-5)


def test_styles_mix_linearly():
    net = AdaIN(TINY).eval()
    with torch.no_grad():
        a, b = (Style.of(net.encoder(torch.rand(1, 3, 16, 16))) for _ in range(2))
    for mixed, one, other in zip(a.towards(b, 0.25), a, b, strict=True):
        assert torch.allclose(mixed, 0.75 * one + 0.25 * other, atol=1e-6)
    assert all(torch.equal(m, o) for m, o in zip(a.towards(b, 1.0), b, strict=True))


def test_saved_and_loaded_weights_are_bit_exact(tmp_path):
    net = AdaIN(TINY)
    weights.save(tmp_path / "w.safetensors", net, "adain")
    loaded = weights.load(AdaIN, tmp_path / "w.safetensors", "adain")
    assert loaded.config == TINY
    for (name, a), b in zip(net.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"width4": 10**9}, "width4 = 1000000000, must be 3 to 1024"),
        ({"width4": 48.5}, "width4 = 48.5"),
        ({"blocks8": True}, "blocks8 = True"),
        ({"depth": 3}, "unknown 'depth'"),
    ],
)
def test_configs_out_of_bounds_are_refused(config, reason):
    with pytest.raises(WeightsError, match=reason):
        AdaIN.from_config(config)
