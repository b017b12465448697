"""Fixtures shared by the tests of core and of the plugins."""

import os
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture(autouse=True, scope="session")
def nobodys_settings(tmp_path_factory):
    """Tests see neither the configuration nor the variables of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENTOOL_CONFIG", str(tmp_path_factory.mktemp("config") / "config.toml"))
        for name in ("REGISTRY", "PLUGINS", "DISABLE", "TRACE"):
            patch.delenv(f"GENTOOL_{name}", raising=False)
        yield


class Site:
    """A folder of made-up installed distributions, for a Python of its own."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, distribution, entries, modules, requires=("gentool-core>=0.1,<0.2",)):
        """Lay out what pip would: modules, metadata, entry points."""
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{needs}"
        )
        groups = "".join(
            f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in lines.items())
            for group, lines in entries.items()
        )
        (info / "entry_points.txt").write_text(groups)
        for name, code in modules.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(code))

    def python(self, *arguments, **more):
        """Run Python with these distributions installed beside the real ones."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "COLUMNS": "100"}
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment | more,
        )

    def gentool(self, *arguments, **more):
        """Run the command line with these distributions installed."""
        return self.python("-m", "gentool", *arguments, **more)


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder)


@pytest.fixture
def pictures(tmp_path):
    """Two small real photographs: content.png and style.png in a folder of their own."""
    from PIL import Image
    from skimage import data

    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, array in (("content", data.chelsea()), ("style", data.coffee())):
        Image.fromarray(array).resize((96, 72)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def vgg_like(tmp_path):
    """A teacher file with VGG-19's layers to relu4_1, narrow and random."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors, width = {}, 3
    for layer, out in (("1_1", 4), ("1_2", 4), ("2_1", 6), ("2_2", 6), ("3_1", 8)):
        tensors[f"conv{layer}.weight"] = torch.randn(out, width, 3, 3) / (9 * width) ** 0.5
        tensors[f"conv{layer}.bias"] = torch.zeros(out)
        width = out
    for layer in ("3_2", "3_3", "3_4", "4_1"):
        tensors[f"conv{layer}.weight"] = torch.randn(8, 8, 3, 3) / 8.5
        tensors[f"conv{layer}.bias"] = torch.zeros(8)
    save_file(tensors, tmp_path / "teacher.safetensors")
    return tmp_path / "teacher.safetensors"


@pytest.fixture
def odd_picture():
    """Makes a picture of a Pillow mode, and (3,H,W) in 0..1 that is seen of it on white."""
    import numpy as np
    import torch
    from PIL import Image

    def make(mode, height, width):
        rise = np.linspace(0, 1, height * width).reshape(height, width)
        if mode == "I;16":
            wide = (rise * 65535).astype(np.uint16)
            return Image.fromarray(wide), torch.from_numpy(wide / 65535).float().expand(3, -1, -1)
        planes = np.stack([rise, rise[:, ::-1], rise[::-1], rise**2], -1)
        image = Image.fromarray((planes * 255).astype(np.uint8), "RGBA")
        image = (image if "A" in mode else image.convert("RGB")).convert(mode)
        rgba = torch.from_numpy(np.array(image.convert("RGBA"))).permute(2, 0, 1) / 255
        return image, rgba[:3] * rgba[3:] + 1 - rgba[3:]

    return make
