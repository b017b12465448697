"""Is a wheel safe to unpack and what it says it is? Told without running anything of it."""

from __future__ import annotations

import base64
import csv
import hashlib
import lzma
import re
import shutil
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from gentool.distributions import EXTENSIONS, METHODS
from gentool.environment import normal, parse
from gentool.errors import InstallError
from gentool.registry.rows import MAX_WHEEL

MAX_FILES = 20_000
MAX_UNPACKED = 4 << 30
SMALL = 64 << 20  # up to this much may be packed as tightly as it likes
TIGHT = 20  # beyond that, a wheel that unpacks to more than this many times its size is a bomb
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill")
MAGIC = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_METADATA_LIMIT = 4 << 20
_MODULES = (".py", ".pyc", ".so", ".pyd")
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, csv.Error),
)


@dataclass(frozen=True)
class Wheel:
    """A wheel whose structure is sound and whose files are those of its RECORD.

    Attributes:
        path: where it lies.
        name, version: of the distribution.
        metadata: the text of its METADATA.
        requires: its requirements, extras included.
        entries: entry points by group, ``{"gentool.methods": {"adain": "gentool_adain.plugin"}}``.
        files: size of every file by name.
        licences: files in its ``dist-info/licenses``.
    """

    path: Path
    name: str
    version: str
    metadata: str
    requires: tuple[str, ...]
    entries: dict[str, dict[str, str]]
    files: dict[str, int]
    licences: tuple[str, ...]

    def read(self, name: str) -> bytes:
        """One small file of it.

        Raises:
            InstallError: it is not small.
        """
        with zipfile.ZipFile(self.path) as archive:
            return _read(archive, name)

    def extract(self, name: str, path: Path) -> None:
        """Write one file of it to ``path``."""
        with (
            zipfile.ZipFile(self.path) as archive,
            archive.open(name) as packed,
            path.open("wb") as f,
        ):
            shutil.copyfileobj(packed, f)

    def source(self, module: str) -> tuple[str, str] | None:
        """File name and text of a module in it; None if it has no such module, or compiled only.

        Raises:
            InstallError: it has the module more than once, and Python would choose.
        """
        stem = module.replace(".", "/")
        begins = (f"{stem}.".lower(), f"{stem}/__init__.".lower())  # on some disks, case is nothing
        files = [n for n in self.files if n.lower().startswith(begins) and n.endswith(_MODULES)]
        if len(files) > 1:
            raise InstallError(f"has the module {module} twice: {' and '.join(sorted(files)[:2])}")
        if not files or files[0] not in (f"{stem}/__init__.py", f"{stem}.py"):
            return None
        return files[0], self.read(files[0]).decode("utf-8", "replace")


def read_wheel(path: Path) -> Wheel:
    """Check a wheel's structure, metadata and hashes.

    Raises:
        InstallError: it is no wheel, could write outside its place, is a decompression bomb,
            holds a pickle, runs code by itself, or is not what its RECORD says.
    """
    try:
        if path.stat().st_size > MAX_WHEEL:
            raise InstallError(f"{path.name}: larger than {MAX_WHEEL >> 30} GiB")
        with zipfile.ZipFile(path) as archive:
            _names(archive, path)
            _contents(archive)
            return _describe(archive, path)
    except InstallError as e:
        reason = str(e)
    except _DAMAGED as e:
        reason = f"not a sound wheel: {e}"
    raise InstallError(f"{path.name}: {' '.join(reason.split())}; nothing was installed")


def _names(archive: zipfile.ZipFile, path: Path) -> None:
    """No file may land anywhere but in a place of its own, and all must fit."""
    members = archive.infolist()
    if len(members) > MAX_FILES:
        raise InstallError(f"holds {len(members):,} files, more than {MAX_FILES:,}")
    total, packed = sum(member.file_size for member in members), path.stat().st_size
    if total > MAX_UNPACKED or total > max(SMALL, TIGHT * packed):
        raise InstallError(f"unpacks from {packed:,} to {total:,} bytes")
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = name.rstrip("/").split("/")
        # Windows takes a dot or space at the end away
        odd = re.search(r'[\\:*?"<>|]|[. ](/|\Z)', name)
        if not name.isprintable() or odd or "" in parts:
            raise InstallError(f"holds a file named {name[:80]!r}, which could land anywhere")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InstallError(f"holds {name}, which is a link or device")
        if name.lower() in seen:
            raise InstallError(f"holds {name} twice")
        seen.add(name.lower())


def _contents(archive: zipfile.ZipFile) -> None:
    """What pip would run or put outside the package, and what loading would unpickle."""
    for member in archive.infolist():
        name = member.filename
        top, _, rest = name.partition("/")
        if top.lower().endswith(".data"):
            raise InstallError(f"holds {name}, which would land outside its package")
        if top.lower().endswith((".egg-info", ".egg-link")):
            raise InstallError(f"holds {name}, which would pass for another distribution")
        if not rest and name.endswith(".pth"):
            raise InstallError(f"holds {name}, which would run at every start of Python")
        if name.lower().endswith(PICKLES):
            raise InstallError(f"holds {name}: a pickle can run anything; use safetensors")
        if not name.endswith(("/", ".py", ".safetensors")):
            with archive.open(member) as f:
                if f.read(2) in MAGIC:
                    raise InstallError(f"{name} in it looks like a pickle; use safetensors")


def _describe(archive: zipfile.ZipFile, path: Path) -> Wheel:
    from packaging.metadata import parse_email
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, *_ = parse_wheel_filename(path.name)
    except InvalidWheelFilename as e:
        raise InstallError(str(e)) from e
    tops = {n.partition("/")[0] for n in archive.namelist()}
    infos = [top for top in tops if top.lower().endswith(".dist-info")]
    if len(infos) != 1:
        raise InstallError(f"has {len(infos)} .dist-info folders instead of one")
    info, own = infos[0], "-".join(path.name.split("-")[:2])
    if normal(info) != normal(f"{own}.dist-info"):
        raise InstallError(f"holds {info}, which is of another distribution")
    _verify(archive, info)
    text = _read(archive, f"{info}/METADATA")
    metadata, _ = parse_email(text)
    said = (normal(metadata.get("name", "")), metadata.get("version", ""))
    if said != (normal(str(name)), str(version)):
        raise InstallError(f"its METADATA is of {' '.join(said) or 'nothing'}")
    for line in metadata.get("requires_dist", ()):
        _requirement(line)
    entries = _entries(archive, f"{info}/entry_points.txt")
    if not entries.get(METHODS) and not entries.get(EXTENSIONS):
        raise InstallError("is no gentool plugin: it has no entry point for gentool")
    for group in ("console_scripts", "gui_scripts"):
        if entries.get(group):
            raise InstallError(
                f"would install the program {next(iter(entries[group]))}; a plugin adds commands "
                "through the hook gentool_commands"
            )
    return Wheel(
        path=path,
        name=metadata.get("name", ""),
        version=str(version),
        metadata=text.decode("utf-8", "replace"),
        requires=tuple(metadata.get("requires_dist", ())),
        entries=entries,
        files={m.filename: m.file_size for m in archive.infolist() if not m.is_dir()},
        licences=tuple(n for n in archive.namelist() if n.startswith(f"{info}/licenses/")),
    )


def _requirement(line: str) -> None:
    """A requirement is a name and versions: an address would be fetched and run unchecked."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        address = Requirement(line).url
    except InvalidRequirement as e:
        raise InstallError(f"requires {line!r}, which pip would not understand") from e
    if address:
        raise InstallError(f"requires {line}: an address instead of a version")


def _verify(archive: zipfile.ZipFile, info: str) -> None:
    """Every file has the hash that RECORD gives, and RECORD lists every file."""
    text = _read(archive, f"{info}/RECORD").decode("utf-8", "replace")
    listed = {row[0]: row[1] for row in csv.reader(text.splitlines()) if len(row) == 3}
    unsigned = {f"{info}/RECORD", f"{info}/RECORD.jws", f"{info}/RECORD.p7s"}
    for member in archive.infolist():
        if member.is_dir() or member.filename in unsigned:
            continue
        algorithm, _, wanted = listed.get(member.filename, "").partition("=")
        if algorithm not in ("sha256", "sha384", "sha512"):
            raise InstallError(f"its RECORD has no hash of {member.filename}")
        with archive.open(member) as f:
            found = hashlib.file_digest(f, algorithm).digest()  # type: ignore[arg-type]
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != wanted.rstrip("="):
            raise InstallError(f"{member.filename} is not what its RECORD says (hash differs)")


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise InstallError(f"has no {name}") from None
    if member.file_size > _METADATA_LIMIT:
        raise InstallError(f"{name} in it has {member.file_size:,} bytes")
    return archive.read(member)


def _entries(archive: zipfile.ZipFile, name: str) -> dict[str, dict[str, str]]:
    if name not in archive.namelist():
        return {}
    try:
        text = _read(archive, name).decode()
    except UnicodeDecodeError as e:
        raise InstallError(f"its entry_points.txt cannot be read: {e}") from e
    found: dict[str, dict[str, str]] = {}
    for group, entry, value in parse(text):
        if not (group and entry and value):
            raise InstallError(f"its entry_points.txt cannot be read: {entry!r} is no entry point")
        if entry in found.setdefault(group, {}):
            raise InstallError(f"its entry_points.txt names {entry!r} of {group!r} twice")
        found[group][entry] = value
    return found
