"""Fetching torchvision's VGG-19: a file of its layout served by this machine itself."""

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from gentool import WeightsError
from gentool.progress import Progress
from gentool_perceptual import vgg19
from gentool_perceptual.features import FeatureNet, Features

WIDTHS = [3, 64, 64, 128, 128, *[256] * 4, *[512] * 8]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a state dict of torchvision's names; one channel in 16 has a weight."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    state, width = {}, 3
    for index, out in zip(vgg19._INDEX, [w // 16 for w in WIDTHS[1:]], strict=True):
        state[f"features.{index}.weight"] = torch.randn(out, width, 3, 3) / (4 * width) ** 0.5
        state[f"features.{index}.bias"] = torch.randn(out) / 10
        width = out
    state["classifier.0.weight"] = torch.zeros(2, 2)
    torch.save(state, folder / "vgg19-test.pth")
    return folder, state


@pytest.fixture
def server(published):
    handler = functools.partial(Quiet, directory=str(published[0]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/vgg19-test.pth"
        running.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class Watch(Progress):
    def __init__(self):
        self.seen = []

    def note(self, text):
        self.seen.append(text)

    def bar(self, total, what):
        self.seen.append(what)
        return super().bar(total, what)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def digest(published):
    return hashlib.sha256((published[0] / "vgg19-test.pth").read_bytes()).hexdigest()


def test_it_is_fetched_once_checked_and_converted(published, server, home):
    watch = Watch()
    path = vgg19.fetch(watch, server, digest(published)[:8])
    assert path.parent == home
    told = f"fetching VGG-19 from 127.0.0.1, once, 575 MB, into {home}"
    assert watch.seen == [told, "fetching vgg19-test.pth"]
    assert sorted(p.name for p in home.iterdir()) == [
        "vgg19-test-convolutions.safetensors",
        "vgg19-test.pth",
    ]
    (home / "vgg19-test.pth").unlink()  # no longer needed
    assert vgg19.fetch(watch, "http://127.0.0.1:1/vgg19-test.pth", "00") == path
    assert len(watch.seen) == 2
    with safe_open(path, "pt") as file:
        assert file.metadata()["licence"] == "CC BY 4.0"


def test_it_sees_what_torchvision_would(published, server, home):
    _, state = published
    path = vgg19.fetch(url=server, sha256=digest(published))
    image = torch.rand(1, 3, 24, 24)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (vgg19._MEAN, vgg19._STD))
    h, wanted = (image - mean) / std, {}
    for index, name in zip(vgg19._INDEX[:5], ("1_1", "1_2", "2_1", "2_2", "3_1"), strict=True):
        if name in ("2_1", "3_1"):
            h = torch.nn.functional.max_pool2d(h, 2)
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        h = torch.nn.functional.conv2d(h, weight, bias, padding=1).relu()
        wanted[f"relu{name}"] = h
    found = Features.load([path], ("relu1_1", "relu3_1"))(image)
    for name, feature in found.items():
        assert torch.allclose(feature, wanted[name], atol=1e-4), name


def test_offline_it_says_what_to_put_where(home):
    with pytest.raises(WeightsError) as caught:
        vgg19.fetch(url="http://127.0.0.1:1/vgg19-test.pth")
    text = str(caught.value)
    assert "\n" not in text
    assert "http://127.0.0.1:1/vgg19-test.pth" in text
    assert str(home / "vgg19-test.pth") in text
    assert list(home.iterdir()) == []


def test_a_wrong_or_damaged_file_is_refused_and_not_converted(published, server, home):
    with pytest.raises(WeightsError, match="sha256 begins with"):
        vgg19.fetch(url=server, sha256="00000000")
    assert [p.name for p in home.iterdir()] == ["vgg19-test.pth"]
    (home / "vgg19-test.pth").write_bytes(b"not a pickle either")
    with pytest.raises(WeightsError, match="not torchvision's VGG-19"):
        vgg19.fetch(sha256=hashlib.sha256(b"not a pickle either").hexdigest(), url=server)


def test_a_damaged_conversion_is_made_again_or_says_what_to_do(published, server, home):
    sha256 = digest(published)
    path = vgg19.fetch(url=server, sha256=sha256)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert vgg19.fetch(url=server, sha256=sha256) == path
    assert path.stat().st_size == len(whole)
    path.write_bytes(whole[:-100])
    (home / "vgg19-test.pth").unlink()
    with pytest.raises(WeightsError, match="damaged; delete it and run again"):
        vgg19.fetch(url=server, sha256=sha256)


def test_a_pickle_that_runs_code_is_refused(home):
    class Evil:
        def __reduce__(self):
            return (open, (str(home / "owned"), "w"))

    home.mkdir(parents=True)
    torch.save({"features.0.weight": Evil()}, home / "vgg19-test.pth")
    found = hashlib.sha256((home / "vgg19-test.pth").read_bytes()).hexdigest()
    with pytest.raises(WeightsError):
        vgg19.fetch(url="http://127.0.0.1:1/vgg19-test.pth", sha256=found)
    assert not (home / "owned").exists()


def test_a_mean_in_the_file_is_used(published):
    tensors = {"conv1_1.weight": torch.zeros(2, 3, 3, 3), "conv1_1.bias": torch.zeros(2)}
    tensors["conv1_1.weight"][:, :, 1, 1] = 1
    tensors["mean"] = torch.full((3,), 255.0)
    net = FeatureNet(tensors)
    assert net(torch.ones(1, 3, 4, 4), ["relu1_1"])["relu1_1"].abs().max() < 1e-4


def test_options_that_take_paths_can_name_it(monkeypatch, tmp_path):
    def fetch(progress):
        raise WeightsError("asked for VGG-19")

    monkeypatch.setattr(vgg19, "fetch", fetch)
    with pytest.raises(WeightsError, match="asked for VGG-19"):
        Features.load([Path("vgg19")])
    assert Features.load([Path("perceptual")]).plan
