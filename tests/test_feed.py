"""From decoded pictures to batches: order, crops, workers, cache."""

import multiprocessing
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from gentool import TrainingError
from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Batch, Fit, Group, Pictures, Plan, ScaleCrop, Setup
from gentool.training.data.batch import Draw
from gentool.training.data.cache import estimate, keep_decoded
from gentool.training.data.feed import Feed, feeds
from gentool.training.data.order import Order
from gentool.vision import transforms

from .samples import write

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "data")


def test_two_ranks_see_together_what_one_sees_and_nothing_twice():
    one = Order(100, 16, 1, Group(), 5)
    ranks = [Order(100, 8, 1, Group(rank, 2), 5) for rank in range(2)]
    assert one.per_epoch == ranks[0].per_epoch == 6
    for number in range(13):
        both = [i for order in ranks for i in order(number).indices]
        assert both == list(one(number).indices)
    for epoch in range(2):
        seen = [i for n in range(6) for i in one(epoch * 6 + n).indices]
        assert len(seen) == len(set(seen)) == 96
    assert one(0).indices != one(6).indices
    assert one(0).seed != one(6).seed


def test_an_order_can_begin_anywhere():
    a, b = Order(50, 7, 2, Group(), 1), Order(50, 7, 2, Group(), 1)
    whole = [a(n).indices for n in range(20)]
    assert [b(n).indices for n in range(13, 20)] == whole[13:]
    assert a.per_epoch == 6  # three steps of two batches of seven; eight are left over


class Brighten:
    """A random transform that tells what it drew."""

    def __call__(self, pixels):
        return (pixels // 2 + int(torch.randint(100, ()))).byte()


def take(pictures, count, workers=0, start=0, batch=4, **group):
    order = Order(len(pictures), batch, 1, Group(**group), 3)
    feed = Feed(pictures, order, workers, CPU)
    feed.number = start
    found = [next(feed) for _ in range(count)]
    feed.close()
    return found, feed


@pytest.mark.parametrize("transform", [None, Brighten()])
def test_workers_cache_and_ranks_change_nothing(folder, transform):
    here, _ = take(Pictures([folder], transform), 12)
    elsewhere, _ = take(Pictures([folder], transform), 12, workers=2)
    kept = Pictures([folder], transform)
    assert keep_decoded(kept, CPU, "ram", Progress())
    cached, _ = take(kept, 12)
    late, _ = take(Pictures([folder], transform), 4, start=8)
    ranks = [take(Pictures([folder], transform), 12, batch=2, rank=r, size=2)[0] for r in (0, 1)]
    together = [
        Batch(torch.cat([a.pictures, b.pictures]), torch.cat([a.labels, b.labels]))
        for a, b in zip(*ranks, strict=True)
    ]
    for a, *others in zip(here, elsewhere, cached, together, strict=True):
        for b in others:
            assert torch.equal(a.pictures, b.pictures)
            assert torch.equal(a.labels, b.labels)
    assert all(torch.equal(a.pictures, b.pictures) for a, b in zip(here[8:], late, strict=True))
    assert here[0].pictures.dtype == torch.float32
    assert here[0].pictures.max() <= 1


def test_drawing_a_batch_leaves_the_global_generator_alone(folder):
    pictures = Pictures([folder], Brighten())
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    pictures.batch(Draw([0, 1], 9))
    assert torch.equal(torch.rand(3), expected)


def test_mirrored_is_half_of_them_chosen_anew_in_every_pass(tmp_path):
    wide = Image.new("RGB", (2, 1))
    wide.putpixel((0, 0), (255, 255, 255))
    for i in range(60):
        wide.save(tmp_path / f"{i}.png")
    pictures = Pictures([tmp_path], split="all")
    passes = [pictures.batch(Draw(range(60), seed))[0].pictures[:, 0, 0, 0] > 0 for seed in (1, 2)]
    assert all(15 < p.sum() < 45 for p in passes)
    assert not torch.equal(*passes)
    straight = Pictures([tmp_path], split="all", flip=False)
    assert (straight.batch(Draw(range(60), 1))[0].pictures[:, 0, 0, 0] > 0).all()


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_no_mirror_mirrors_nothing(tmp_path, cache):
    wide = Image.new("RGB", (2, 1))
    wide.putpixel((0, 0), (255, 255, 255))
    for i in range(60):
        wide.save(tmp_path / f"{i}.png")
    for mirror in (True, False):
        pictures = Pictures([tmp_path], split="all")
        plan = Plan(batch_size=60, mirror=mirror, cache=cache, workers=0)
        setup = Setup(plan, choose("cpu", "fp32"))
        (feed,) = feeds([pictures], setup, 0, Progress())
        for batch in (next(feed), pictures.sample_batch(60, setup)):
            assert bool((batch.pictures[:, 0, 0, 0] > 0).all()) is not mirror


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[20000, 40000]], np.uint16), [78, 156]),  # read as I;16
        (np.array([[20000, 40000]], np.int32), [78, 156]),
        (np.array([[0.25, 0.75]], np.float32), [64, 191]),
        (np.array([[[9, 9, 9, 0], [9, 9, 9, 255]]], np.uint8), [255, 9]),
    ],
)
def test_wide_and_transparent_pictures_are_learnt_from_as_they_look(tmp_path, array, expected):
    Image.fromarray(array).save(tmp_path / "p.tiff")
    pictures = Pictures([tmp_path], split="all", flip=False)
    assert pictures.pixels(0)[:, 0].tolist() == [expected] * 3
    assert pictures.pixels(0).dtype == torch.uint8


def test_damaged_pictures_are_skipped_and_named_once(folder):
    (folder / "a/02.png").write_bytes((folder / "a/02.png").read_bytes()[:40])
    notes = []
    pictures = Pictures([folder], split="all")
    feed = Feed(pictures, Order(40, 10, 1, Group(), 0), 0, CPU, note=notes.append)
    batches = [next(feed) for _ in range(8)]
    assert [len(batch) for batch in batches] == [10] * 8  # the next picture stands in
    assert len(notes) == 1
    assert "skipped a/02.png" in notes[0]


def test_a_damaged_picture_is_the_same_gap_with_and_without_the_cache(folder):
    (folder / "a/02.png").write_bytes(b"nothing")
    here, _ = take(Pictures([folder], split="all"), 20)
    kept, notes = Pictures([folder], split="all"), []
    progress = Progress()
    progress.note = notes.append
    keep_decoded(kept, CPU, "ram", progress)
    assert notes == ["skipped a/02.png: not a picture that Pillow can read (1 bad so far)"]
    cached, _ = take(kept, 20)
    for a, b in zip(here, cached, strict=True):
        assert torch.equal(a.pictures, b.pictures)
        assert torch.equal(a.labels, b.labels)
    kept.transform = lambda pixels: pixels
    batch, bad = kept.batch(Draw([1, 2, 3], 0))
    assert len(batch) == 3
    assert bad == {}  # told of once, when it was decoded
    assert kept.fingerprint() == Pictures([folder], split="all").fingerprint()


class Wrong:
    """A mistake in somebody's own code."""

    def __call__(self, pixels):
        return pixels + "1"


@pytest.mark.parametrize("where", ["transform", "prepare"])
def test_a_mistake_in_a_transform_is_no_damaged_picture(folder, where):
    pictures = Pictures([folder], **{where: Wrong()}, split="all")
    with pytest.raises(TypeError) as error:
        pictures.batch(Draw([2], 0))
    assert error.value.__notes__ == ["(while a/04.png was prepared for the training)"]
    with pytest.raises(TypeError, match="png was prepared for the training"):
        take(pictures, 1, workers=1)
    if where == "prepare":
        with pytest.raises(TypeError):
            keep_decoded(pictures, CPU, "ram", Progress())


def test_pictures_that_are_too_small_for_a_transform_are_not_left_out(folder):
    Image.new("RGB", (30, 20)).save(folder / "a/00.png")
    pictures = Pictures([folder], transforms().RandomCrop(16), split="all")
    assert pictures.batch(Draw([0], 0))[0].pictures.shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="larger than"):
        pictures.batch(Draw([0, 1], 0))


def test_memory_that_runs_out_is_no_damaged_picture(folder, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr("gentool.training.data.pictures._bytes", full)
    pictures = Pictures([folder], split="all")
    with pytest.raises(MemoryError):
        pictures.batch(Draw([0], 0))
    with pytest.raises(MemoryError):
        keep_decoded(pictures, CPU, "ram", Progress())


def test_a_set_without_a_sound_picture_is_one_line(tmp_path):
    (tmp_path / "0.png").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match=r"1 pictures in a row cannot be read: 0\.png"):
        Pictures([tmp_path], split="all").batch(Draw([0], 0))
    with pytest.raises(TrainingError, match="none of 1 pictures can be read"):
        keep_decoded(Pictures([tmp_path], split="all"), CPU, "ram", Progress())


def test_different_sizes_need_a_transform(folder):
    Image.new("RGB", (30, 20)).save(folder / "a/00.png")
    with pytest.raises(TrainingError, match=r"of one size here, but .* 30x20"):
        Pictures([folder], split="all").batch(Draw(range(4), 0))
    batch, _ = Pictures([folder], ScaleCrop(8, (9, 40)), split="all").batch(Draw(range(4), 0))
    assert batch.pictures.shape == (4, 3, 8, 8)


def test_errors_in_workers_stay_one_line(folder):
    Image.new("RGB", (30, 20)).save(folder / "a/00.png")
    pictures = Pictures([folder], split="all")
    feed = Feed(pictures, Order(40, 40, 1, Group(), 0), 1, CPU)
    with pytest.raises(TrainingError, match=r"^pictures must be of one size") as error:
        next(feed)
    assert "Traceback" not in str(error.value)


def test_scale_crops_have_the_size_and_follow_the_generator():
    picture = torch.randint(256, (3, 60, 90), dtype=torch.uint8)
    crop = ScaleCrop(32, (50, 200))
    torch.manual_seed(1)
    one, other = crop(picture), crop(picture)
    torch.manual_seed(1)
    assert torch.equal(one, crop(picture))
    assert not torch.equal(one, other)
    assert one.shape == (3, 32, 32)
    assert one.dtype == torch.uint8
    assert ScaleCrop(64, (1000, 2000))(picture[:, :10, :10]).shape == (3, 64, 64)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_worker_that_dies_is_started_again_and_nothing_is_lost(folder):
    pictures = Pictures([folder])
    whole, _ = take(pictures, 30)
    notes = []
    order = Order(len(pictures), 4, 1, Group(), 3)
    feed = Feed(pictures, order, 1, CPU, note=notes.append)
    found = [next(feed) for _ in range(3)]
    os.kill(feed._stream._workers[0].pid, signal.SIGKILL)
    found += [next(feed) for _ in range(27)]
    feed.close()
    assert notes == ["a process that prepares the pictures died; starting it again"]
    assert all(torch.equal(a.pictures, b.pictures) for a, b in zip(whole, found, strict=True))


class Deadly:
    def __call__(self, pixels):
        os.kill(os.getpid(), signal.SIGKILL)


LEFT_ALONE = """
import sys, time
import torch
from gentool.training import Group, Pictures
from gentool.training.data.feed import Feed
from gentool.training.data.order import Order
pictures = Pictures([sys.argv[1]], split="all")
feed = Feed(pictures, Order(len(pictures), 4, 1, Group(), 0), 2, torch.device("cpu"))
next(feed)
print(*(worker.pid for worker in feed._stream._workers), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_workers_of_a_killed_training_end_too(tmp_path):
    for i in range(16):  # a batch of four is more than a pipe holds
        Image.fromarray(np.full((128, 128, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    line = [sys.executable, "-c", LEFT_ALONE, str(tmp_path)]
    training = subprocess.Popen(line, stdout=subprocess.PIPE)
    workers = [psutil.Process(int(pid)) for pid in training.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(1)  # the queue fills
    training.kill()
    training.wait()
    training.stdout.close()
    deadline = time.monotonic() + 20
    while any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_workers_that_keep_dying_are_one_line(folder, monkeypatch):
    monkeypatch.setattr("gentool.training.data.feed.RESTARTS", 1)
    feed = Feed(Pictures([folder], Deadly()), Order(30, 4, 1, Group(), 3), 1, CPU)
    with pytest.raises(TrainingError, match=r"died 2 times; .*--workers"):
        next(feed)


def test_a_transform_that_cannot_be_sent_to_other_processes_is_one_line(folder):
    """As they are started on macOS and Windows."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        feed = Feed(Pictures([folder], lambda x: x), Order(30, 4, 1, Group(), 3), 1, CPU)
        with pytest.raises(TrainingError, match="define it at module level, or --workers 0"):
            next(feed)
    finally:
        multiprocessing.set_start_method(before, force=True)


def test_pictures_are_kept_where_they_fit(folder, monkeypatch):
    pictures = Pictures([folder], split="all")
    assert estimate(pictures) == 40 * 3 * 12 * 10
    assert not keep_decoded(pictures, CPU, "none", Progress())
    with monkeypatch.context() as patch:
        patch.setattr("gentool.memory.free", lambda _: 1000)
        assert not keep_decoded(pictures, CPU, "auto", Progress())
    assert keep_decoded(pictures, CPU, "auto", Progress())
    assert pictures.ready
    assert not Pictures([folder]).ready


def test_what_is_cropped_at_random_is_kept_where_processes_can_reach_it(folder, monkeypatch):
    monkeypatch.setattr("gentool.memory.free", lambda _: 1e9)
    plain, cropped = (Pictures([folder], transform) for transform in (None, ScaleCrop(8, (9, 40))))
    for pictures in (plain, cropped):
        keep_decoded(pictures, torch.device("meta"), "auto", Progress())
    assert plain.on_device
    assert not cropped.on_device


def test_processes_are_not_sent_to_pictures_on_a_device(folder):
    pictures, progress, notes = Pictures([folder]), Progress(), []
    progress.note = notes.append
    keep_decoded(pictures, torch.device("meta"), "device", Progress())
    setup = Setup(Plan(batch_size=4, workers=3, cache="none"), choose("cpu", "fp32"))
    (feed,) = feeds([pictures], setup, 0, progress)
    assert feed.workers == 0
    assert notes == ["--workers 3: no use, the pictures are kept on cpu"]


def test_mixed_sizes_can_be_kept_and_cropped(folder):
    Image.new("RGB", (30, 20), (9, 9, 9)).save(folder / "a/00.png")
    pictures = Pictures([folder], ScaleCrop(8, (9, 40)), split="all")
    keep_decoded(pictures, CPU, "ram", Progress())
    assert not pictures.ready  # crops are worth a process of their own
    assert pictures.pixels(0).shape == (3, 20, 30)
    assert pictures.batch(Draw(range(9), 0))[0].pictures.shape == (9, 3, 8, 8)


def test_prepared_pictures_are_kept_small_and_ready(folder, monkeypatch):
    Image.new("RGB", (3000, 2000), (9, 90, 200)).save(folder / "a/00.png")
    pictures = Pictures([folder], prepare=Fit(8), split="all")
    assert estimate(pictures) == len(pictures) * 3 * 8 * 8  # not of the files' sizes
    before, _ = pictures.batch(Draw(range(9), 0))
    keep_decoded(pictures, CPU, "ram", Progress())
    assert pictures.ready
    after, _ = pictures.batch(Draw(range(9), 0))
    assert torch.equal(before.pictures, after.pictures)
    assert after.pictures.shape == (9, 3, 8, 8)
    assert after.pictures[0, :, 4, 4].tolist() == [9, 90, 200]


def test_fit_takes_the_middle_square_and_leaves_what_fits_alone():
    wide = torch.zeros(3, 8, 24, dtype=torch.uint8)
    wide[:, :, 8:16] = 200
    assert Fit(4)(wide).unique().tolist() == [200]
    assert Fit(16)(wide).shape == (3, 16, 16)
    square = torch.randint(256, (3, 8, 8), dtype=torch.uint8)
    assert Fit(8)(square) is square


def test_feeds_give_one_batch_of_each_set(folder, tmp_path):
    small = write(tmp_path / "small", 10)
    plan = Setup(Plan(batch_size=4), choose("cpu", "fp32"))
    both = feeds([Pictures([folder]), Pictures([small], split="all")], plan, 0, Progress())
    batches = [next(feed) for feed in both]
    assert all(isinstance(batch, Batch) and len(batch) == 4 for batch in batches)
    big, sets = Setup(Plan(batch_size=16), choose("cpu", "fp32")), [Pictures([small], split="all")]
    with pytest.raises(TrainingError, match=rf"--data {small} has 10 pictures"):
        feeds(sets, big, 0, Progress())


class Numbers:
    """A transform that draws from NumPy's global generator, as older ones do."""

    def __call__(self, pixels):
        return (pixels // 2 + np.random.randint(100)).byte()  # noqa: NPY002


def test_transforms_that_draw_from_numpy_follow_the_seed(folder):
    pictures = Pictures([folder], Numbers(), flip=False)
    first, _ = pictures.batch(Draw(range(8), 4))
    again, _ = pictures.batch(Draw(range(8), 4))
    other, _ = pictures.batch(Draw(range(8), 5))
    assert torch.equal(first.pictures, again.pictures)
    assert not torch.equal(first.pictures, other.pictures)


def test_random_numbers_of_a_sample_follow_from_pass_and_number_alone(folder):
    pictures = Pictures([folder], Brighten(), flip=False)
    order = list(range(8))
    random.Random(1).shuffle(order)
    straight, _ = pictures.batch(Draw(range(8), 4))
    shuffled, _ = pictures.batch(Draw(order, 4))
    assert torch.equal(straight.pictures[order], shuffled.pictures)


class TooLarge(list):
    """Samples that shared memory has no room for."""

    def __reduce_ex__(self, protocol):
        raise RuntimeError("unable to allocate shared memory(shm)")


def test_without_room_for_other_processes_a_training_goes_on_without():
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)  # which sends the samples there
    notes = []
    try:
        feed = Feed(TooLarge(torch.eye(8)), Order(8, 4, 1, Group(), 0), 2, CPU, note=notes.append)
        assert next(feed).shape == (4, 8)
        assert next(feed).shape == (4, 8)
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert feed.workers == 0
    (note,) = notes
    assert "no processes to prepare the pictures (unable to allocate shared memory(shm))" in note


def test_large_batches_go_through_the_pipe_where_shared_memory_is_short(monkeypatch):
    batch = Batch(torch.zeros(2, 3, 600, 600, dtype=torch.uint8), torch.tensor([3, -1]))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64 << 20))
    sent = bytes(ForkingPickler.dumps(batch))
    assert len(sent) > batch.pictures.numel()
    again = pickle.loads(sent)
    assert torch.equal(again.pictures, batch.pictures)
    assert again.labels.tolist() == [3, -1]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8 << 30))
    assert len(ForkingPickler.dumps(batch)) < 10_000
