"""Tiles, regions and blends of styles, on tiny networks with random weights."""

import os
import subprocess
import sys

import pytest
import torch

from gentool import Context
from gentool.compute import choose
from gentool_adain.canvas import Canvas, Regions
from gentool_adain.features import encode, encode_style
from gentool_adain.nets import AdaIN, Config
from gentool_adain.options import PaintOptions
from gentool_adain.painting import Painting
from gentool_adain.statistics import Style, Total
from gentool_adain.tiles import cover, shrinking

TINY = Config(width2=4, width4=8, width8=8, code=4, blocks8=2, blocks4=1)
WHOLE = 4096


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = AdaIN(TINY).eval().requires_grad_(False)
    for name, parameter in net.named_parameters():  # untrained, styles and noise do nothing
        if "scale" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    net.decoder.rgb.weight.mul_(10)
    return net


@pytest.fixture
def context():
    return Context(choose("cpu", "fp32"), seed=0)


@pytest.fixture(scope="module")
def content():
    torch.manual_seed(1)
    small = torch.rand(1, 3, 12, 20)
    return torch.nn.functional.interpolate(small, (187, 301), mode="bicubic")[0].clamp(0, 1)


@pytest.fixture
def styles(net, context):
    torch.manual_seed(2)
    pictures = (torch.rand(3, 40, 56) * 0.5, torch.rand(3, 72, 40))
    return [encode_style(net, picture, context, WHOLE) for picture in pictures]


def both(styles):
    return Style(*(torch.cat(parts) for parts in zip(*styles, strict=True)))


@pytest.mark.parametrize("cells", [(5, 7), (64, 1), (33, 40)])
@pytest.mark.parametrize(("most", "halo"), [(1, 2), (8, 3), (100, 5)])
def test_tiles_cover_every_cell_once_and_their_halo_stays_inside(cells, most, halo):
    picture = torch.arange(cells[0] * cells[1] * 4).reshape(2 * cells[0], 2 * cells[1])
    seen = torch.zeros_like(picture)
    for tile in cover(*cells, most, halo):
        assert torch.equal(tile.inner(tile.computed(picture, 2), 2), tile.kept(picture, 2))
        assert max(tile.kept(picture).shape) <= most
        tile.kept(seen, 2).add_(1)
    assert (seen == 1).all()


@pytest.mark.parametrize("side", [128, 96, 64])
def test_tiles_equal_the_whole(net, context, content, styles, side):
    whole = Canvas(net, content, context, WHOLE).paint(styles[0])
    tiled = Canvas(net, content, context, side).paint(styles[0])
    assert whole.std() > 0.05
    assert (whole - tiled).abs().max() < 1e-4


def test_the_halo_is_as_wide_as_the_decoder_reaches_and_no_wider(net, context):
    """Changing one cell changes no pixel beyond the reach, and some near its end."""
    torch.manual_seed(0)
    cells = 40
    features = torch.randn(1, 8, 2 * cells, 2 * cells), torch.randn(1, 8, cells, cells)
    style, noise = Style.of(features), net.noise(features, context.generator())
    before = net.decode(features, style, style, noise)
    changed = features[1].clone()
    changed[..., cells // 2, cells // 2] += 100
    after = net.decode((features[0], changed), style, style, noise)
    rows = ((after - before).abs().amax((0, 1, 3)) > 0).nonzero().flatten()
    middle = cells // 2 * 8
    above, below = middle - rows.min().item(), rows.max().item() - (middle + 7)
    widest = max(above, below)
    assert (net.decoder.reach - 1) * 8 < widest <= net.decoder.reach * 8


def test_statistics_in_tiles_are_those_of_the_whole(net, context, content):
    whole = encode_style(net, content, context, WHOLE)
    for side in (128, 64):
        tiled, style, features = encode(net, content, context, side)
        assert tiled == side
        assert features[1].shape[2:] == (24, 38)
        for a, b in zip(style, whole, strict=True):
            assert torch.allclose(a, b, atol=1e-5)


def test_statistics_of_regions_are_those_of_their_pixels():
    torch.manual_seed(0)
    features = torch.randn(1, 3, 8, 8), torch.randn(1, 5, 4, 4) + 2
    left4, left8 = torch.zeros(2, 8, 8), torch.zeros(2, 4, 4)
    left4[0, :, :4], left8[0, :, :2] = 1, 1
    left4[1], left8[1] = 1 - left4[0], 1 - left8[0]
    total = Total()
    total.add(features, (left4, left8))
    alone = Style.of((features[0][..., :4], features[1][..., :2]))
    for region, wanted in zip(total.style(), alone, strict=True):
        assert torch.allclose(region[:1], wanted, atol=1e-5)


def test_one_region_everywhere_is_no_region(net, context, content, styles):
    everywhere = Regions(torch.ones(1, *content.shape[1:]), net.decoder.reach)
    masked = Canvas(net, content, context, WHOLE, everywhere).paint(styles[0])
    assert torch.allclose(masked, Canvas(net, content, context, WHOLE).paint(styles[0]), atol=1e-4)


def test_regions_take_their_styles_and_the_rest_stays_the_content(net, context, content, styles):
    masks = torch.zeros(2, *content.shape[1:])
    masks[0, :, :90], masks[1, :, 150:220] = 1, 1
    reach = net.decoder.reach
    painted = Canvas(net, content, context, WHOLE, Regions(masks, reach)).paint(both(styles))
    assert torch.equal(painted[:, :, 220:], content[:, :, 220:])
    alone = Canvas(net, content, context, WHOLE, Regions(masks[:1], reach)).paint(styles[0])
    inside = 90 - 8 * (reach + 1)
    assert torch.allclose(painted[:, :, :inside], alone[:, :, :inside], atol=1e-4)


@pytest.mark.parametrize("edge", [90, 128])  # amid a cell and at its end
def test_a_style_masked_elsewhere_does_not_show_at_the_edge_of_another(
    net, context, content, styles, edge
):
    masks = torch.zeros(2, *content.shape[1:])
    masks[0, :, :edge], masks[1, 150:, 260:] = 1, 1
    reach = net.decoder.reach
    painted = Canvas(net, content, context, WHOLE, Regions(masks, reach)).paint(both(styles))
    alone = Canvas(net, content, context, WHOLE, Regions(masks[:1], reach)).paint(styles[0])
    assert torch.allclose(painted[:, :, :edge], alone[:, :, :edge], atol=1e-4)


def test_shares_of_regions_add_up_to_one_also_where_no_mask_is():
    masks = torch.zeros(2, 187, 301)
    masks[0, :60, :60], masks[1, 100:, 250:] = 0.3, 1
    for shares in Regions(masks, 3, [1e-6, 2.0]).shares:
        assert torch.allclose(shares.sum(0), torch.ones(()))


def test_soft_regions_in_tiles_equal_the_whole(net, context, content, styles):
    ramp = torch.linspace(0, 1, content.shape[2]).expand(1, *content.shape[1:])
    regions = Regions(torch.cat([ramp, 1 - ramp]), net.decoder.reach, [0.3, 0.7])
    whole = Canvas(net, content, context, WHOLE, regions).paint(both(styles), alpha=0.7)
    tiled = Canvas(net, content, context, 64, regions).paint(both(styles), alpha=0.7)
    assert (whole - tiled).abs().max() < 1e-4


def test_a_region_of_weight_0_stays_the_content(net, context, content, styles):
    masks = torch.zeros(2, *content.shape[1:])
    masks[0, :, :100], masks[1, :, 100:] = 1, 1
    regions = Regions(masks, net.decoder.reach, [1.0, 0.0])
    painted = Canvas(net, content, context, WHOLE, regions).paint(both(styles))
    assert torch.equal(painted[:, :, 100:], content[:, :, 100:])


def test_memory_that_runs_out_halves_the_tiles():
    tried, notes = [], []

    def work(side):
        tried.append(side)
        if side > 200:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return "done"

    assert shrinking(1024, work, notes.append) == (128, "done")
    assert tried == [1024, 512, 256, 128]
    assert "in tiles of 128 pixels" in notes[-1]
    with pytest.raises(RuntimeError, match="allocate memory"):
        shrinking(300, lambda side: work(1000), notes.append)
    with pytest.raises(ValueError, match="other"):
        shrinking(1024, lambda side: int("other"), notes.append)


LITTLE_MEMORY = """
import resource, torch, gentool
torch.set_num_threads(1)
method = gentool.load("adain", seed=0, precision="fp32")
picture = torch.rand(3, 1536, 1536)
small = method.stylize(content=picture[:, :64, :64], style=picture[:, :64, :64])  # libraries loaded
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 240 * 2**20,) * 2)
notes = []
context = method.context()
context.progress.note = notes.append
options = method.options("stylize", content=picture, style=picture[:, :64, :64], tile=2048)
painted = next(method.stream("stylize", options, context)).tensor
assert painted.isfinite().all() and painted.shape == picture.shape
print("; ".join(notes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory the Linux way")
def test_a_picture_too_large_for_memory_is_painted_in_smaller_tiles():
    env = os.environ | {"MALLOC_ARENA_MAX": "1"}  # each thread's would take addresses of the limit
    line = [sys.executable, "-c", LITTLE_MEMORY]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "memory ran out: going on in tiles of" in done.stdout


def painting(net, content, context, masks=(), **options):
    return Painting(net, content, context, PaintOptions(**options), masks)


@pytest.mark.parametrize("color", ["none", "luminance"])
def test_larger_strokes_equal_in_tiles_and_keep_the_size(net, context, content, styles, color):
    whole = painting(net, content, context, stroke=2.5, tile=WHOLE, preserve_color=color)
    tiled = painting(net, content, context, stroke=2.5, tile=64, preserve_color=color)
    assert max(whole.canvas.pixels.shape) == 120
    found = whole.paint(styles[0])
    assert found.shape == content.shape
    assert (found - tiled.paint(styles[0])).abs().max() < 1e-4
    assert torch.equal(found, whole.paint(styles[0]))  # for several styles in turn
    plain = painting(net, content, context, stroke=1, preserve_color=color).paint(styles[0])
    assert (found - plain).abs().mean() > 0.01


def test_with_no_strength_strokes_of_any_size_leave_the_content_as_sharp(
    net, context, content, styles
):
    plain, large = (
        painting(net, content, context, stroke=stroke, alpha=0.0).paint(styles[0])
        for stroke in (1, 4)
    )
    assert torch.allclose(plain, large, atol=1e-5)


def test_what_no_mask_covers_stays_the_content_whatever_the_strokes(net, context, content, styles):
    mask = torch.zeros(1, *content.shape[1:])
    mask[:, :, :150] = 1
    found = painting(net, content, context, [mask], stroke=3).paint(styles[0])
    assert torch.equal(found[:, :, 150:], content[:, :, 150:])
    assert not torch.allclose(found[:, :, :150], content[:, :, :150], atol=0.01)


@pytest.mark.parametrize(
    ("size", "stroke", "side"),
    [((40, 1536), None, 1536), ((40, 1600), None, 1024), ((80, 50), 100, 64), ((30, 20), 9, 30)],
)
def test_large_pictures_get_the_strokes_of_usual_ones(net, context, size, stroke, side):
    made = painting(net, torch.rand(3, *size), context, stroke=stroke)
    assert max(made.canvas.pixels.shape) == side
    assert made.again == (side != max(size))
