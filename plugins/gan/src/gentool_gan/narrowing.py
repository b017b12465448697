"""A narrow generator begins as the part of a wide one that matters most.

Channels are ranked by the magnitude of the weights that read them (Li et al., "Pruning Filters for
Efficient ConvNets", 2017) and the rest is left out; training makes up for what is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gentool_gan.nets import START


def narrowed(large: Mapping[str, Tensor], widths: tuple[int, ...]) -> dict[str, Tensor]:
    """The state of a residual generator whose stages are narrower, or as wide.

    Args:
        large: the state of the wide one.
        widths: channels to keep at 4x4, 8x8 and so on, none more than ``large`` has.
    """
    found = dict(large)  # the classes' embedding stays as it is

    def take(prefix: str, out: Tensor, into: Tensor | None = None) -> None:
        """Keep some of the outputs, and of the inputs, of a layer."""
        for name, tensor in large.items():
            if name.startswith(prefix) and tensor.dim():
                chosen = tensor[out]
                found[name] = chosen if into is None or tensor.dim() < 4 else chosen[:, into]

    def take_norm(prefix: str, kept: Tensor) -> None:
        width = len(large[f"{prefix}.norm.running_mean"])
        take(f"{prefix}.norm.", kept)
        take(f"{prefix}.scale_shift.", torch.cat([kept, kept + width]))  # scales, then shifts

    def strongest(count: int, *readers: str) -> Tensor:
        """The channels that these convolutions weigh most, in their order."""
        weights = [large[f"{reader}.weight"].abs().sum((0, 2, 3)) for reader in readers]
        return torch.stack(weights).sum(0).topk(count).indices.sort().values

    stages = [(f"blocks.{i}.conv1", f"blocks.{i}.skip") for i in range(len(widths) - 1)]
    readers = [*stages, ("rgb",)]  # of the features at 4x4, 8x8 and so on
    kept = strongest(widths[0], *readers[0])
    # the features of a position lie side by side
    width = len(large["first.bias"]) // START**2
    take("first.", (torch.arange(START**2, device=kept.device)[:, None] * width + kept).flatten())
    for i, wanted in enumerate(widths[1:]):
        block = f"blocks.{i}"
        inside = strongest(wanted, f"{block}.conv2")
        after = strongest(wanted, *readers[i + 1])
        take_norm(f"{block}.norm1", kept)
        take(f"{block}.conv1.", inside, kept)
        take_norm(f"{block}.norm2", inside)
        take(f"{block}.conv2.", after, inside)
        take(f"{block}.skip.", after, kept)
        kept = after
    take("norm.", kept)
    take("rgb.", torch.arange(3), kept)
    return found
