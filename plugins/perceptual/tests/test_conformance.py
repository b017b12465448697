"""The perceptual plugin does what every plugin must."""

import torch
from safetensors.torch import save_file

from gentool.testing import Conformance
from gentool_perceptual.compact import CHANNELS
from gentool_perceptual.features import CONVOLUTIONS


def small_training(folder):
    """A random teacher with VGG-19's layers and channels, thin between them."""
    wide = dict(zip(("1_1", "2_1", "3_1", "4_1", "5_1"), CHANNELS, strict=True))
    tensors, width = {}, 3
    for name in CONVOLUTIONS[: CONVOLUTIONS.index("5_1") + 1]:
        out = wide.get(name, 4)
        tensors[f"conv{name}.weight"] = torch.randn(out, width, 3, 3) / (5 * width) ** 0.5
        tensors[f"conv{name}.bias"] = torch.zeros(out)
        width = out
    save_file(tensors, folder / "teacher.safetensors")
    return {"teacher": [folder / "teacher.safetensors"], "crop_size": 64, "pool": 0}


class TestPerceptual(Conformance):
    plugin = "perceptual"
    training = staticmethod(small_training)
