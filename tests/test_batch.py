"""A batch: results in order, failures told, small pictures several at once."""

import contextlib
import threading

import PIL.Image
import pytest
import torch

from gentool import Context, GentoolError, images, parallel
from gentool.compute import choose
from gentool.context import SMALL
from gentool.progress import Progress
from gentool.shared import Shared

PICTURES = [torch.full((3, 8, 8 + i), i / 10) for i in range(6)]
WAIT = 60  # seconds after which a test fails instead of hanging


@pytest.fixture
def context():
    return Context(choose("cpu", "fp32"), seed=0)


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_small_pictures_are_worked_on_at_once_and_come_in_order(context, two_threads):
    met = threading.Barrier(2)  # passed by two at a time

    def work(picture):
        met.wait(WAIT)
        yield picture.shape[2]
        yield torch.get_num_threads()

    made = [*context.batch(work, PICTURES, "work", images.area)]
    assert made[::2] == [8, 9, 10, 11, 12, 13]
    assert made[1::2] == [1] * 6
    assert torch.get_num_threads() == 2


def test_large_pictures_and_unknown_ones_take_all_cores_one_after_another(context, two_threads):
    def work(_):
        yield torch.get_num_threads(), threading.current_thread()

    here = 2, threading.current_thread()
    large = [torch.zeros(3, 1, SMALL + i) for i in range(3)]
    assert [*context.batch(work, large, "work", images.area)] == [here] * 3
    assert [*context.batch(work, PICTURES, "work")] == [here] * 6
    mixed = [*context.batch(work, [*large, *PICTURES], "work", images.area)]
    assert mixed[:3] == [here] * 3
    assert all(made != here for made in mixed[3:])


def test_one_core_works_on_one_picture_at_a_time(context):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = [*context.batch(lambda _: [threading.current_thread()], PICTURES, "work", images.area)]
    torch.set_num_threads(threads)
    assert found == [threading.current_thread()] * 6


def test_what_fails_is_told_in_its_turn_and_the_others_are_made(context, two_threads):
    def work(picture):
        if picture.shape[2] in (9, 12):
            raise GentoolError(f"{picture.shape[2]} is odd")
        yield picture.shape[2]

    widths = context.batch(work, PICTURES, "work", images.area)
    made = [(width, len(context.failures)) for width in widths]
    assert made == [(8, 0), (10, 1), (11, 1), (13, 2)]
    assert [reason for _, reason in context.failures] == ["9 is odd", "12 is odd"]
    with pytest.raises(GentoolError, match="9 is odd"):  # alone, it is no batch
        [*context.batch(work, PICTURES[1:2], "work", images.area)]


def test_what_is_left_early_begins_no_more_and_gives_the_threads_back(two_threads):
    begun = []

    def work(item):
        begun.append(item)
        yield item

    progress = parallel.InTurn(Progress())
    calls = parallel.calls(work, range(1000), lambda _: True, progress)
    assert [*next(calls)()] == [0]
    calls.close()
    assert len(begun) < 10
    assert torch.get_num_threads() == 2


class Told(Progress):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)

    fail = note


def test_what_is_told_comes_before_its_results_and_not_earlier(context, two_threads):
    context.progress = told = Told()
    begun = [threading.Event() for _ in PICTURES]

    def work(picture):
        number = picture.shape[2] - 8
        begun[number].set()
        if number % 2 == 0:  # the second is done first
            assert begun[number + 1].wait(WAIT)
        context.progress.note(f"about {number}")
        yield number
        if number == 3:
            raise GentoolError("cut short")

    for number in context.batch(work, PICTURES, "work", images.area):
        told.said.append(number)
    wanted = [told for i in range(6) for told in (f"about {i}", i)]
    assert told.said == [*wanted[:8], "image: cut short", *wanted[8:]]
    assert context.progress is told


def test_other_threads_are_in_the_modes_of_the_first(context, two_threads):
    def work(_):
        yield (
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            (torch.ones(2, 2) @ torch.ones(2, 2)).dtype,
        )

    def found():
        return {*context.batch(work, PICTURES, "work", images.area)}

    with torch.inference_mode(False), torch.enable_grad():
        assert found() == {(False, True, torch.float32)}
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert found() == {(False, False, torch.bfloat16)}


def test_a_source_whose_size_cannot_be_told_fails_in_its_turn(context, two_threads):
    def pixels(picture):
        if picture.shape[2] == 9:
            raise GentoolError("no header")
        return 1

    def work(picture):
        if picture.shape[2] == 9:
            raise GentoolError("no picture")
        yield picture.shape[2]

    assert [*context.batch(work, PICTURES, "work", pixels)] == [8, 10, 11, 12, 13]
    assert [reason for _, reason in context.failures] == ["no picture"]


def test_threads_keep_their_share_whatever_others_set(context, two_threads):
    begun, changed = threading.Barrier(3), threading.Event()

    def work(_):
        begun.wait(WAIT)
        assert changed.wait(WAIT)
        yield torch.get_num_threads()

    def change():  # as the codec does for a small tile of a large picture
        begun.wait(WAIT)
        torch.set_num_threads(1)
        torch.set_num_threads(2)
        changed.set()

    changing = threading.Thread(target=change)
    changing.start()
    assert [*context.batch(work, PICTURES[:2], "work", images.area)] == [1, 1]
    changing.join()


def test_an_open_image_may_stand_in_a_batch_twice(context, two_threads, tmp_path):
    torch.manual_seed(0)
    images.to_pil(torch.rand(3, 300, 300)).save(tmp_path / "a.png")
    wanted = images.read(tmp_path / "a.png").pixels
    for _ in range(5):
        with PIL.Image.open(tmp_path / "a.png") as image:  # decoded by whoever comes first
            work = context.batch(lambda i: [context.read(i)], [image] * 4, "work", images.area)
            assert all(torch.equal(picture.pixels, wanted) for picture in work)


def test_shared_state_is_restored_by_the_last_to_leave():
    state = ["as it was"]

    @contextlib.contextmanager
    def change():
        before = state[0]
        state[0] = "changed"
        yield
        state[0] = before

    shared = Shared(change)
    first, second = shared(), shared()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert state == ["changed"]
    second.__exit__(None, None, None)
    assert state == ["as it was"]


def test_area_is_read_from_the_header(tmp_path):
    path = tmp_path / "a.png"
    images.to_pil(torch.rand(3, 20, 30)).save(path)
    truncated = tmp_path / "b.png"
    truncated.write_bytes(path.read_bytes()[:200])
    assert [images.area(p) for p in (path, str(path), truncated)] == [600, 600, 600]
    assert images.area(tmp_path / "missing.png") == 0
    picture = images.read(path)
    pil = images.to_pil(picture.pixels)
    assert images.area(pil) == images.area(picture.pixels) == 600
    assert images.area(torch.zeros(20, 30, 3).numpy()) == 600
