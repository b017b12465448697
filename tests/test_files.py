"""Files appear whole or not at all."""

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from gentool.files import expand, numbered, write_atomic


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_replaced_if_that_was_asked_for(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"a much longer file than the new one")
    assert write_atomic(path, b"new") == path
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.png"]


def test_else_the_next_free_name_is_taken(tmp_path):
    path = tmp_path / "a.b.png"
    written = [write_atomic(path, bytes([i]), replace=False) for i in range(3)]
    assert [p.name for p in written] == ["a.b.png", "a.b-2.png", "a.b-3.png"]
    assert [p.read_bytes() for p in written] == [b"\0", b"\1", b"\2"]
    assert names(tmp_path) == ["a.b-2.png", "a.b-3.png", "a.b.png"]


def test_a_folder_of_that_name_is_stepped_over_as_well(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert write_atomic(tmp_path / "a.png", b"x", replace=False).name == "a-2.png"


def test_writers_at_the_same_time_take_different_names(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        written = list(
            pool.map(lambda i: write_atomic(tmp_path / "a", b"%d" % i, replace=False), range(24))
        )
    assert len(set(written)) == 24
    assert [p.read_bytes() for p in written] == [b"%d" % i for i in range(24)]
    assert len(names(tmp_path)) == 24


def test_a_file_system_without_hard_links_does_too(tmp_path, monkeypatch):
    def link(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    written = [write_atomic(tmp_path / "a.png", bytes([i]), replace=False) for i in range(2)]
    assert names(tmp_path) == ["a-2.png", "a.png"]
    assert [p.read_bytes() for p in written] == [b"\0", b"\1"]


def test_where_the_system_refuses_a_write_nothing_is_left(tmp_path):
    """A limit on file sizes fails the write itself, as a full disk does."""
    pytest.importorskip("resource")
    code = (
        "import pathlib, resource, sys; from gentool.files import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(pathlib.Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as e: print(e.strerror)\n"
    )
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == os.strerror(errno.EFBIG)
    assert names(tmp_path) == ["a.png"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("replace", [True, False])
def test_where_the_last_step_fails_nothing_is_left(tmp_path, monkeypatch, replace):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "a.png", b"x", replace)
    assert names(tmp_path) == []


def test_a_folder_is_never_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        write_atomic(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="Windows asks for rights to make links")
def test_a_link_stays_and_what_it_points_at_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    file, link = tmp_path / "there/a.png", tmp_path / "link.png"
    link.symlink_to(file)
    for data in (b"first", b"second"):  # at first it points at nothing
        assert write_atomic(link, data) == link
        assert link.is_symlink()
        assert file.read_bytes() == data
        assert names(tmp_path / "there") == ["a.png"]
    assert write_atomic(link, b"third", replace=False).name == "link-2.png"
    assert file.read_bytes() == b"second"
    round_ = tmp_path / "round.png"
    round_.symlink_to(round_)
    assert write_atomic(round_, b"x").read_bytes() == b"x"  # which pointed at nothing
    assert names(tmp_path) == ["link-2.png", "link.png", "round.png", "there"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_what_is_no_file_is_written_into_and_stays(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    for path in (pipe, link):
        assert write_atomic(path, b"through") == path
        assert os.read(end, 100) == b"through"
    os.close(end)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["link", "pipe"]


def test_a_missing_folder_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "gone" / "a.png", b"x")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_result_is_as_readable_as_any_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        path = write_atomic(tmp_path / "a.png", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_what_is_replaced_keeps_its_rights(tmp_path):
    path, link = tmp_path / "a.png", tmp_path / "link.png"
    path.write_bytes(b"private")
    path.chmod(0o600)
    link.symlink_to(path)
    for written in (path, link):
        write_atomic(written, b"x")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    beside = write_atomic(path, b"x", replace=False)
    assert stat.S_IMODE(beside.stat().st_mode) & 0o600 == 0o600


def test_long_and_foreign_names_are_no_obstacle(tmp_path):
    path = tmp_path / ("ж" * 100 + ".png")
    assert write_atomic(path, b"x").read_bytes() == b"x"


def test_numbers_go_on():
    found = islice(numbered(Path("out/a.png")), 3)
    assert [p.as_posix() for p in found] == ["out/a.png", "out/a-2.png", "out/a-3.png"]


def test_a_tilde_means_home_only_where_there_is_one(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert expand("~/a.png") == Path("/home/me/a.png")
    assert expand("~no-such-user.png") == Path("~no-such-user.png")
