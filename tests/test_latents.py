"""Walks through latent space keep to where latents lie; files of latents keep what they hold."""

import json
import os
import struct

import pytest
import torch
from safetensors.torch import save_file

from gentool import GentoolError, WeightsError
from gentool.latents import check_finite, pack_file, read_file, slerp


def test_slerp_keeps_angle_and_length():
    a, b = torch.randn(2, 400, generator=torch.Generator().manual_seed(0))
    middle = slerp(a, b, 0.5)
    assert middle.norm() == pytest.approx((a.norm() + b.norm()).item() / 2, rel=1e-3)
    assert torch.dot(middle, a) / a.norm() == pytest.approx(
        (torch.dot(middle, b) / b.norm()).item(), rel=1e-3
    )
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-5)


def test_slerp_of_the_same_of_opposites_and_of_nothing():
    a = torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(slerp(a, a, 0.3), a, atol=1e-5)
    for share, wanted in ((0.0, a), (0.25, a / 2), (1.0, -a)):
        assert torch.allclose(slerp(a, -a, share), wanted, atol=1e-5)
    assert slerp(a, torch.zeros(64), 0.5).isfinite().all()


GOOD = {"z": torch.zeros(2, 6)}


def read(path):
    return read_file(path, "z", 6, "0123", "gentool run x encode", "--from")


def refusal(path):
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def test_a_latents_file_gives_back_what_was_packed(tmp_path):
    path = tmp_path / "z.safetensors"
    tensors = {"z": torch.randn(6, 2).T.double(), "more": torch.ones(2, 3)}
    path.write_bytes(pack_file(tensors, {"names": ["a", "b"]}, "0123"))
    found, about = read(path)
    assert torch.equal(found, tensors["z"].float())
    assert about == {"names": ["a", "b"], "model": "0123"}


def test_files_of_other_programs_are_taken_at_their_word(tmp_path):
    save_file(GOOD, tmp_path / "z.safetensors")
    found, about = read(tmp_path / "z.safetensors")
    assert torch.equal(found, GOOD["z"])
    assert about == {}


@pytest.mark.parametrize(
    ("tensors", "about", "reason"),
    [
        ({"y": torch.zeros(2, 6)}, "{}", "no latents in it; `gentool run x encode` writes them"),
        ({"z": torch.zeros(6)}, "{}", "no latents in it; `gentool run x encode` writes them"),
        ({"z": torch.zeros(0, 6)}, "{}", "no latents in it; `gentool run x encode` writes them"),
        (
            {"z": torch.zeros(2, 7)},
            "{}",
            "2 of 7 numbers each, but these weights take 6; give the ",
        ),
        ({"z": torch.zeros(2, 6).int()}, "{}", "its latents are not floating-point numbers"),
        ({"z": torch.zeros(2, 6) / 0}, "{}", "holds numbers that are not finite"),
        (
            {"z": torch.full((2, 6), 1e300, dtype=torch.float64)},
            "{}",
            "holds numbers that are not finite",
        ),
        (
            {"z": torch.full((2, 6), torch.inf).to(torch.float8_e5m2)},
            "{}",
            "holds numbers that are not finite",
        ),
        (GOOD, "{", "what it says of its latents is not a JSON object"),
        (GOOD, "[" * 100_000, "what it says of its latents is not a JSON object"),
        (GOOD, "[]", "what it says of its latents is not a JSON object"),
        (GOOD, '{"model": "4567"}', "made with other weights, to which they mean something else; "),
        (GOOD, '{"model": []}', "made with other weights, to which they mean something else; "),
    ],
)
def test_latents_that_are_none_are_one_line(tmp_path, tensors, about, reason):
    path = tmp_path / "z.safetensors"
    save_file(tensors, path, {"about": about})
    assert refusal(path).startswith(f"--from FILE: {reason}")


def test_sizes_are_compared_before_tensors_are_read(tmp_path):
    entry = {"dtype": "F32", "shape": [1, 7], "data_offsets": [0, 28]}
    header = json.dumps({"z": entry, "y": entry}).encode()  # of one place: no loader takes that
    path = tmp_path / "z.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(28))
    assert "1 of 7 numbers each" in refusal(path)


def test_a_path_that_is_no_file_of_latents_is_one_line(tmp_path):
    assert refusal(tmp_path / "none.safetensors") == "--from FILE: no such file"
    assert refusal(tmp_path) == "--from FILE: is a folder; give the latents file in it"
    (tmp_path / "text").write_text("hello")
    assert refusal(tmp_path / "text") == "--from FILE: not a safetensors file, or cut short"
    assert "--from FILE: " in refusal(tmp_path / ("a" * 300))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind root")
def test_what_may_not_be_read_is_one_line(tmp_path):
    path = tmp_path / "closed" / "z.safetensors"
    path.parent.mkdir()
    save_file(GOOD, path)
    path.chmod(0)
    assert refusal(path) == "--from FILE: cannot read: Permission denied"
    path.parent.chmod(0)
    assert refusal(path) == "--from FILE: cannot read: Permission denied"
    path.parent.chmod(0o700)


def test_what_is_not_finite_is_refused():
    check_finite(torch.full((3,), 3e38))
    for bad in (torch.inf, -torch.inf, torch.nan):
        with pytest.raises(GentoolError, match="not finite: those of --weights or --latents are"):
            check_finite(torch.tensor([0.0, bad]))
