"""pip, in a process of its own, for the environment that gentool runs in."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gentool.errors import InstallError

KEPT = ("gentool-core", "torch", "torchvision", "torchaudio")


def run(*arguments: str | Path, doing: str) -> str:
    """Run pip and return what it prints.

    Args:
        arguments: its command line.
        doing: what for, for the error text: ``install gentool-adain``.

    Raises:
        InstallError: it failed; with its own last error.
    """
    line = [sys.executable, "-m", "pip", *map(str, arguments)]
    line += ["--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        errors="replace",  # names of files may be no text
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    errors = [
        text.removeprefix("ERROR: ") for text in done.stderr.splitlines() if "ERROR: " in text
    ]
    raise InstallError(f"pip could not {doing}: {_reason(errors) or done.stderr[-500:]}")


def _reason(errors: Sequence[str]) -> str:
    """The errors that say something new."""
    return "; ".join(dict.fromkeys(text.strip() for text in errors[:2]))


def install(
    targets: Sequence[str | Path], *flags: str | Path, doing: str, report: Path | None = None
) -> None:
    """Install wheels and what they require, as wheels, keeping this gentool and this torch.

    Args:
        targets: files of wheels that were checked, with their extras.
        flags: more for pip.
        doing: see :func:`run`.
        report: only find out what would be installed and write that here.

    Raises:
        InstallError: pip failed.
    """
    with tempfile.TemporaryDirectory(prefix="gentool-") as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in kept()), encoding="utf-8")
        dry: list[str | Path] = ["--dry-run", "--report", report] if report else []
        run(
            *("install", "--quiet", "--only-binary", ":all:", "--constraint", constraints),
            *(*dry, *flags, *targets),
            doing=doing,
        )


def kept() -> list[str]:
    """Constraints that hold what must not be replaced at the versions that are installed."""
    lines = []
    for name in KEPT:
        try:
            lines.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return lines


def managed(verb: str, distribution: str, wheel: str = "") -> str | None:
    """What to type instead where another program looks after this environment; None elsewhere.

    Args:
        verb: ``install`` or ``uninstall``.
        distribution: of the plugin.
        wheel: the file to install.
    """
    prefix, installing = Path(sys.prefix), verb == "install"
    if (prefix / "pipx_metadata.json").exists():
        command, what = ("inject", wheel) if installing else ("uninject", distribution)
        return f"this gentool was installed by pipx; run: pipx {command} gentool-core {what}"
    if (prefix / "uv-receipt.toml").exists():
        command = f"--with {wheel}" if installing else f"without --with {distribution}"
        return (
            "this gentool was installed by uv; run: uv tool install gentool-core "
            f"{command}, and a --with for every other plugin"
        )
    if sys.prefix == sys.base_prefix:
        marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
        if marker.exists():
            return (
                "this Python belongs to the operating system; make an environment of your own: "
                "python3 -m venv ~/gentool, install gentool there, and use that one"
            )
    # not util.find_spec(): setuptools takes that for pip's own start and gives up its distutils
    if importlib.machinery.PathFinder.find_spec("pip") is None:
        where = f"--python {sys.executable}"
        command = f"install {where} {wheel}" if installing else f"uninstall {where} {distribution}"
        program = "uv pip" if shutil.which("uv") else f"{sys.executable} -m ensurepip, then pip"
        return f"this environment has no pip; run: {program} {command}"
    return None
