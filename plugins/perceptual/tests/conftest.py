"""A teacher that costs nothing."""

import torch
from safetensors.torch import save_file

from gentool_perceptual.compact import CHANNELS
from gentool_perceptual.features import CONVOLUTIONS


def thin_teacher(folder, channels=CHANNELS):
    """A random network with VGG-19's layers and channels, thin between them; its file."""
    torch.manual_seed(0)
    wide = dict(zip(("1_1", "2_1", "3_1", "4_1", "5_1"), channels, strict=True))
    tensors, width = {}, 3
    for name in CONVOLUTIONS[: CONVOLUTIONS.index("5_1") + 1]:
        out = wide.get(name, 4)
        tensors[f"conv{name}.weight"] = torch.randn(out, width, 3, 3) / (5 * width) ** 0.5
        tensors[f"conv{name}.bias"] = torch.zeros(out)
        width = out
    save_file(tensors, folder / "teacher.safetensors")
    return folder / "teacher.safetensors"
