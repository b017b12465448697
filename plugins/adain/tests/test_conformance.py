"""AdaIN does what every method must."""

import torch
from safetensors.torch import save_file

from gentool.testing import Conformance


def small_training(folder):
    """A feature network with random weights, VGG-shaped; the kit makes the pictures."""
    tensors, width = {}, 3
    for layer in ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4", "4_1"):
        tensors[f"conv{layer}.weight"] = torch.randn(6, width, 3, 3) / (9 * width) ** 0.5
        tensors[f"conv{layer}.bias"] = torch.zeros(6)
        width = 6
    save_file(tensors, folder / "teacher.safetensors")
    teacher = [folder / "teacher.safetensors"]
    return {"teacher": teacher, "crop_size": 64, "reproduce_steps": 1}


class TestAdaIN(Conformance):
    plugin = "adain"
    training = staticmethod(small_training)
