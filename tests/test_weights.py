"""Networks in and out of files, and every way a file can be damaged, hostile or just another."""

import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import nn

from gentool import Action, Card, Model, WeightsFile, weights
from gentool.errors import OutputError, WeightsError


class Tiny(nn.Module):
    """Two small networks with all that a state may hold; a :class:`gentool.Model`."""

    def __init__(self, width=4):
        super().__init__()
        self.width = width
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.decoder = nn.Linear(width, 3)
        self.decoder.register_buffer("scale", torch.tensor([2.0]), persistent=False)

    @classmethod
    def from_config(cls, config):
        return cls(**weights.config_values(config, {"width": (1, 512)}))

    def get_config(self):
        return {"width": self.width}

    @property
    def networks(self):
        return {"encoder": self.encoder, "decoder": self.decoder}

    def forward(self, x):
        return self.decoder(self.encoder(x).mean((2, 3))) * self.decoder.scale


class Trusting(Tiny):
    """Does not check its config."""

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class Tied(Tiny):
    """Two layers that share one tensor."""

    def __init__(self, width=4):
        super().__init__(width)
        self.decoder = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
        self.decoder[1].weight = self.decoder[0].weight


def trained(width=4):
    torch.manual_seed(width)
    model = Tiny(width)
    model(torch.rand(2, 3, 8, 8))  # moves the running statistics
    return model.eval()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def saved(path):
    weights.save(path, trained(), "tiny", licence="CC0-1.0", trained_on="noise")
    return path


def rewrite(path, metadata=None, tensors=None, drop=()):
    """Change what is inside a file, leaving a sound safetensors file."""
    header = weights.read_header(path)
    kept = {n: t for n, t in weights.read_tensors(path).items() if n not in drop}
    data = to_bytes(kept | (tensors or {}), header.metadata | (metadata or {}))
    path.write_bytes(data)
    return path


# --- there and back ---------------------------------------------------------------------------


def test_a_model_comes_back_bit_for_bit(saved):
    original, again = trained(), weights.load(Tiny, saved, "tiny")
    assert isinstance(again, Model)
    for (name, wanted), found in zip(
        original.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert wanted.dtype == found.dtype, name
        assert torch.equal(wanted, found), name
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(original(x), again(x))  # the constant that is not saved is there too


def test_a_loaded_model_is_ready_for_inference(saved):
    state = torch.random.get_rng_state()
    model = weights.load(Tiny, saved)
    assert torch.equal(state, torch.random.get_rng_state())  # loading does not shift the seed
    for net in model.networks.values():
        assert not net.training
        assert not any(p.requires_grad or p.is_meta for p in net.parameters())


def test_half_storage_halves_the_file_and_loads_in_float32(path, tmp_path):
    model, half = trained(width=64), tmp_path / "half.safetensors"
    weights.save(path, model, "tiny")
    weights.save(half, model, "tiny", half=True)
    assert half.stat().st_size < 0.65 * path.stat().st_size
    again = weights.load(Tiny, half)
    for wanted, found in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert found.dtype == wanted.dtype
        assert torch.allclose(wanted.float(), found.float(), rtol=1e-3, atol=1e-6)


def test_values_too_large_for_half_are_not_lost_silently(path):
    model = trained()
    model.encoder[1].running_var[0] = 1e6
    with pytest.raises(OutputError, match=r"'encoder\.1\.running_var' holds values too large"):
        weights.save(path, model, "tiny", half=True)
    assert not path.exists()


def test_tied_and_transposed_weights_can_be_saved(path):
    model = Tied()
    model.encoder.to(memory_format=torch.channels_last)
    weights.save(path, model, "tied")
    again = weights.load(Tied, path)
    assert torch.equal(again.decoder[1].weight, model.decoder[0].weight)
    assert torch.equal(again.encoder[0].weight, model.encoder[0].weight)


def test_what_is_said_of_the_weights_is_in_the_header(saved):
    header = weights.read_header(saved)
    assert header.metadata["licence"] == "CC0-1.0"
    assert header.metadata["method"] == "tiny"
    assert header.config == {"width": 4}
    assert header.shapes["encoder.0.weight"] == (4, 3, 3, 3)
    assert header.dtypes["encoder.1.num_batches_tracked"] == "I64"
    assert header.parameters == sum(t.numel() for t in trained().state_dict().values())
    assert header.bytes == saved.stat().st_size


def test_saving_where_there_is_no_folder_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="cannot write: No such file or directory"):
        weights.save(tmp_path / "gone" / "a.safetensors", trained(), "tiny")


def test_reading_a_header_needs_neither_torch_nor_numpy(saved):
    code = (
        "import sys; from gentool.weights import read_header; h = read_header(sys.argv[1]);"
        "print(h.config, [m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{'width': 4} []"


@pytest.mark.parametrize("start", ["PK", "\x80\x02"])
def test_a_header_whose_length_looks_like_a_pickle_is_fine(path, start):
    length = int.from_bytes(start.encode("latin-1"), "little")
    path.write_bytes(to_bytes({"w": torch.ones(1)}, {"text": "x" * (length - 100)}))
    while path.read_bytes()[:2] != start.encode("latin-1"):
        text = weights.read_header(path).metadata["text"] + "x"
        path.write_bytes(to_bytes({"w": torch.ones(1)}, {"text": text}))
        assert len(text) < length
    assert weights.read_header(path).shapes == {"w": (1,)}


# --- damaged and hostile files ----------------------------------------------------------------


def framed(header, body=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def entry(shape=(1,), dtype="F32", offsets=(0, 4)):
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


def torch_zip():
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(3)}, buffer)
    return buffer.getvalue()


SOUND = to_bytes({"w": torch.arange(16.0)}, {"format": "gentool-1"})
BAD_FILES = {
    "empty": (b"", "not a safetensors file, or cut short"),
    "seven bytes": (b"1234567", "not a safetensors file"),
    "text": (b"these are no weights, but some text" * 9, "not a safetensors file"),
    "zeros": (bytes(100), "not a safetensors file"),
    "cut in the header": (SOUND[:40], "not a safetensors file, or cut short"),
    "cut in the data": (SOUND[:-1], "cut short or padded"),
    "padded": (SOUND + b"\0", "cut short or padded"),
    "huge header": (struct.pack("<Q", 2**62) + b"{}" * 50, "not a safetensors file"),
    "header over the limit": (framed(b" " * (8 << 20) + b"{}"), "not a safetensors file"),
    "header longer than the file": (struct.pack("<Q", 5000) + b"{}" * 50, "cut short"),
    "torch zip": (torch_zip(), "this is a pickle, which gentool never loads"),
    "old pickle": (pickle.dumps({"w": 1}, protocol=2), "this is a pickle"),
    "new pickle": (pickle.dumps({"w": [1] * 100}, protocol=5), "this is a pickle"),
    "header is a list": (framed([1]), "or damaged"),
    "header is no JSON": (framed(b"{nonsense"), "or damaged"),
    "header is no text": (framed(b"\xff\xfe\xff\xfe"), "or damaged"),
    "deep header": (framed(b"[" * 100_000), "or damaged"),
    "metadata is a number": (framed({"__metadata__": 3}), "or damaged"),
    "metadata holds a number": (framed({"__metadata__": {"format": 3}}), "or damaged"),
    "no shape": (framed({"w": {"dtype": "F32", "data_offsets": [0, 0]}}), "or damaged"),
    "unknown type": (framed(entry(dtype="F7"), bytes(4)), "or damaged"),
    "more shape than data": (framed(entry((10**9,)), bytes(4)), "or damaged"),
    "negative shape": (framed(entry((-1, -1)), bytes(4)), "or damaged"),
    "fractional shape": (framed(entry((1.5,)), bytes(4)), "or damaged"),
    "endless shape": (framed(entry((float("inf"),)), bytes(4)), "or damaged"),
    "negative offset": (framed(entry(offsets=(-4, 0))), "or damaged"),
    "three offsets": (framed(entry(offsets=(0, 2, 4)), bytes(4)), "or damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_damaged_file_is_one_line_that_names_it(path, name):
    content, reason = BAD_FILES[name]
    path.write_bytes(content)
    for read in (weights.read_header, weights.read_tensors, lambda p: weights.load(Tiny, p)):
        with pytest.raises(WeightsError) as caught:
            read(path)
        assert reason in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_path_means_a_file_or_the_one_in_a_trainings_folder(tmp_path):
    (tmp_path / "run").mkdir()
    file = tmp_path / "run" / weights.FILE
    for path in (tmp_path / "run", file, tmp_path / "none", tmp_path / ("x" * 300)):
        assert weights.file_of(path) == path
    file.write_bytes(b"")
    assert weights.file_of(tmp_path / "run") == weights.file_of(file) == file


def test_a_file_may_be_as_large_as_it_says(tmp_path):
    size, path = 40 << 30, tmp_path / "large.safetensors"
    path.write_bytes(framed(entry((size,), "U8", (0, size))))
    try:
        os.truncate(path, path.stat().st_size + size)  # a hole, which takes no room
    except OSError:
        pytest.skip("this file system has no holes, or no files so large")
    assert weights.read_header(path).parameters == size
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(WeightsError, match="cut short or padded"):
        weights.read_header(path)


def test_overlapping_tensors_are_refused(path):
    two = {n: entry()["w"] for n in "ab"}
    path.write_bytes(framed(two, bytes(4)))
    with pytest.raises(WeightsError, match="damaged"):
        weights.read_tensors(path)


def test_no_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        weights.read_header(tmp_path / "gone.safetensors")
    with pytest.raises(WeightsError, match="cannot read"):
        weights.read_header(tmp_path)


# --- sound files that do not fit --------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{nonsense", "the config inside is not JSON"),
        ("[" * 100_000, "the config inside is not JSON"),
        ("[1]", "the config inside is not a JSON object"),
        ('{"width": 4, "depth": 2}', "unknown 'depth'; made by a newer version"),
        ('{"width": 1000000000}', "width = 1000000000, must be 1 to 512"),
        ('{"width": 0}', "width = 0, must be 1 to 512"),
        ('{"width": 4.0}', "width = 4.0, must be"),
        ('{"width": true}', "width = True, must be"),
        ('{"width": "4"}', "width = '4', must be"),
        ('{"width": 8}', r"tensor 'encoder.0.weight' is \(4, 3, 3, 3\), its config asks for \(8,"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(saved, config, reason):
    rewrite(saved, {"config": config})
    with pytest.raises(WeightsError, match=reason) as caught:
        weights.load(Tiny, saved)
    assert len(str(caught.value)) < 500


def test_a_hostile_config_takes_no_memory_even_where_the_model_trusts_it(saved):
    rewrite(saved, {"config": '{"width": 1000000000}'})  # 112 GB, were it built
    with pytest.raises(WeightsError, match="its config asks for"):
        weights.load(Trusting, saved)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"metadata": {"method": "other"}}, "weights of 'other', not of 'tiny'"),
        ({"metadata": {"format": "pt"}}, "no gentool weights"),
        ({"drop": ["decoder.bias"]}, "'decoder.bias' is missing, its config asks for"),
        (
            {"tensors": {"decoder.extra": torch.ones(2)}},
            r"'decoder.extra' is \(2,\), its config asks for none of that name",
        ),
        ({"tensors": {"decoder.bias": torch.ones(4)}}, r"'decoder.bias' is \(4,\)"),
        (
            {"tensors": {"decoder.bias": torch.ones(3, dtype=torch.int32)}},
            "'decoder.bias' is I32, its network has float32",
        ),
    ],
)
def test_a_file_made_for_something_else_is_refused(saved, change, reason):
    rewrite(saved, **change)
    with pytest.raises(WeightsError, match=reason):
        weights.load(Tiny, saved, "tiny")


# --- packaged sets ----------------------------------------------------------------------------


def card(content, *names, package="tinyplugin", **changes):
    sets = tuple(
        WeightsFile(
            name,
            f"weights/{name}.safetensors",
            **({"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | changes),
            licence="CC0-1.0",
            trained_on="noise",
            origin="this test",
        )
        for name in names
    )
    action = Action("go", "Go.", "tinyplugin.options:Options", "tinyplugin.actions:go")
    return Card("tiny", "test", "A test.", "none", (action,), f"{package}.nets:Tiny", sets)


@pytest.fixture
def plugin(saved, tmp_path, monkeypatch):
    """An importable package with two sets of weights; gives their bytes."""
    folder = tmp_path / "site" / "tinyplugin"
    (folder / "weights").mkdir(parents=True)
    (folder / "__init__.py").touch()
    for name in ("faces", "cats"):
        (folder / "weights" / f"{name}.safetensors").write_bytes(saved.read_bytes())
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "tinyplugin", raising=False)
    yield saved.read_bytes()
    sys.modules.pop("tinyplugin", None)


@pytest.mark.parametrize(
    ("name", "wanted"), [(None, "faces"), ("faces", "faces"), ("cats", "cats")]
)
def test_the_first_set_is_the_default(plugin, name, wanted):
    path, entry = weights.packaged(card(plugin, "faces", "cats"), name)
    assert (path.stem, entry.name) == (wanted, wanted)
    assert weights.load(Tiny, path, "tiny").width == 4
    assert weights.find(card(plugin, "faces", "cats"), name) == path


@pytest.mark.parametrize("changes", [{"bytes": 1}, {"sha256": "0" * 64}])
def test_changed_packaged_weights_are_not_used(plugin, changes):
    with pytest.raises(WeightsError, match=r"not the weights .* published with .*reinstall"):
        weights.packaged(card(plugin, "faces", **changes))


def test_missing_packaged_weights_say_what_to_do(plugin):
    with pytest.raises(WeightsError, match="missing; reinstall tinyplugin"):
        weights.packaged(card(plugin, "dogs"))


def test_an_unknown_set_suggests_a_known_one(plugin):
    both = card(plugin, "faces", "cats")
    for search in (weights.packaged, weights.find):
        with pytest.raises(WeightsError, match=r"'face'; did you mean 'faces'\? .*faces, cats"):
            search(both, "face")


def test_a_method_without_weights_of_its_own(plugin):
    with pytest.raises(WeightsError, match="packages no weights; give some with --weights FILE"):
        weights.find(card(plugin), None)
    with pytest.raises(WeightsError, match="packages no weights, and there is no file 'typo'"):
        weights.find(card(plugin), "typo")
    with pytest.raises(WeightsError, match=r"typo\.bin: no such weights file"):
        weights.read_header(weights.find(card(plugin), "typo.bin"))


def test_a_file_or_a_training_runs_folder_is_found(plugin, saved, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    own = saved.rename(run / "weights.safetensors")
    both = card(plugin, "faces", "cats")
    assert weights.find(both, str(own)) == own
    assert weights.find(both, str(run)) == own
    assert weights.find(both, f"{run}{os.sep}") == own
    with pytest.raises(WeightsError, match=r"holds no weights\.safetensors; give a training's"):
        weights.find(both, str(tmp_path))
    with pytest.raises(WeightsError, match="has no weights 'xxx"):
        weights.find(both, "x" * 300)
    with pytest.raises(WeightsError, match=r"cannot read: |no such weights file"):
        weights.read_header(weights.find(both, f"{'x' * 300}/w.safetensors"))
    assert weights.find(both, "runs/mistyped").name == "mistyped"  # a path, no set's name


def test_a_sets_name_wins_over_a_file_of_that_name(plugin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats").write_bytes(b"something else")
    assert weights.find(card(plugin, "faces", "cats"), "cats").parent.name == "weights"
