"""Devices, precisions, seeds."""

import subprocess
import sys

import pytest
import torch

from gentool import compute
from gentool.errors import DeviceError

CPU_ONLY = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
NO_METAL = pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is Metal")


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        pytest.param({"device": "cuda"}, "no CUDA device; try --device auto", marks=CPU_ONLY),
        pytest.param({"device": "cuda:9"}, "--device cuda:9: this machine has"),
        pytest.param({"device": "mps"}, "no Metal device; try --device auto", marks=NO_METAL),
        *(
            pytest.param({"device": name}, "--device: must be auto, cpu, mps, cuda or cuda:N")
            for name in ("nonsense", "", "meta", "CPU", "1", "cuda:-1", "cuda:x", "cpu\n", "gpu")
        ),
        pytest.param({"device": "cpu", "precision": "fp16"}, "not on the CPU; use bf16 or fp32"),
        pytest.param({"precision": "fp8"}, "--precision: must be one of auto, fp32, bf16, fp16"),
        pytest.param({"threads": 0}, "--threads: must be between 1 and 1024, got 0"),
        pytest.param({"threads": -2}, "--threads: must be between 1 and 1024, got -2"),
        pytest.param({"threads": 10**6}, "--threads: must be between 1 and 1024, got 1000000"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_in_one_line(choice, reason):
    threads = torch.get_num_threads()
    with pytest.raises(DeviceError) as caught:
        compute.choose(**choice)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_products_are_computed_in_the_precision_asked_for(precision, dtype):
    chosen = compute.choose("cpu", precision)
    assert (chosen.device.type, chosen.dtype, chosen.precision) == ("cpu", dtype, precision)
    layer = torch.nn.Conv2d(3, 4, 3)
    assert chosen.used == "fp32"
    with chosen.autocast(), torch.no_grad():
        assert layer(torch.rand(1, 3, 8, 8)).dtype == dtype
        assert torch.rand(4).softmax(0).dtype == torch.float32
    assert chosen.used == precision


def test_networks_of_any_dimensions_are_placed():
    cpu = compute.choose("cpu", "fp32")
    flat = cpu.place(torch.nn.Conv2d(3, 4, 3))
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    assert not flat.weight.is_contiguous()
    assert cpu.place(torch.nn.Conv2d(3, 4, 3), channels_last=False).weight.is_contiguous()
    volume = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 3), torch.nn.Conv2d(3, 4, 3))
    assert cpu.place(volume)[1].weight.is_contiguous()


def test_auto_always_finds_something_that_works():
    chosen = compute.choose()
    with chosen.autocast():
        product = torch.ones(4, 4, device=chosen.device) @ torch.ones(4, 4, device=chosen.device)
    assert product.float().sum().item() == 64
    assert chosen.precision in ("fp32", "bf16")
    assert (
        chosen.device.type in compute.describe() or f"{chosen.device.type}:0" in compute.describe()
    )


def test_threads_are_taken():
    code = (
        "import torch; from gentool.compute import choose; choose('cpu', threads=1);"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_one_seed_gives_one_sequence_whatever_else_is_drawn():
    first = torch.rand(5, generator=compute.generator(7))
    torch.rand(3)
    assert torch.equal(first, torch.rand(5, generator=compute.generator(7)))
    assert not torch.equal(first, torch.rand(5, generator=compute.generator(8)))


def test_things_of_a_run_and_neighbouring_seeds_draw_other_numbers():
    draws = [
        torch.rand(5, generator=compute.generator(seed, index))
        for seed, index in ((0, None), (0, 0), (0, 1), (1, None), (1, 0))
    ]
    assert len({tuple(draw.tolist()) for draw in draws}) == 5
    assert torch.equal(draws[2], torch.rand(5, generator=compute.generator(0, 1)))


def test_fresh_seeds_differ_and_can_be_typed_again():
    seeds = {compute.fresh_seed() for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",  # Windows
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_memory_that_ran_out_is_recognised(text):
    assert compute.is_out_of_memory(RuntimeError(text))
    assert not compute.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_convolutions_lie_channels_last_except_on_metal():
    layouts = [compute.Compute(torch.device(d), torch.float32).layout for d in ("cpu", "mps")]
    assert layouts == [torch.channels_last, torch.contiguous_format]
