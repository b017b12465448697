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
