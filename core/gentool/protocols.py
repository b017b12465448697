"""The three protocols a method is made of. A third party needs nothing else.

Pictures are float32 tensors (N,3,H,W), RGB, 0..1, unless a method says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from gentool.artifacts import Artifact
    from gentool.training import Update

Target = TypeVar("Target", contravariant=True)


@runtime_checkable
class Model(Protocol):
    """Owns named networks and the config that rebuilds them.

    :func:`gentool.weights.save` writes both into one safetensors file, and
    :func:`gentool.weights.load` rebuilds the model from that file alone.
    """

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build untrained networks. Must check every value before it allocates anything.

        To compare a file with its config without taking memory, it is also called on the meta
        device, where tensors have shapes but no values: read none here (``.item()``), and
        make constants buffers, which are built again where they have values.

        Raises:
            WeightsError: an unknown key, or a value of the wrong type or outside its range.
        """
        ...

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """The networks by name; the names prefix the tensors in the file."""
        ...

    def get_config(self) -> Mapping[str, Any]:
        """JSON-compatible values for :meth:`from_config`."""
        ...


class Loss(Protocol[Target]):
    """Prediction and target in, named scalar terms out.

    Terms stay apart so that logs, plots and weights are per term; the trainer adds them up.
    """

    def __call__(self, prediction: Target, target: Target) -> Mapping[str, Tensor]:
        """Named terms, each a float32 tensor without dimensions, differentiable."""
        ...


class Trainer(Protocol):
    """What is a method's own in a training; the engine does everything else.

    Subclass it and build it as ``MyTrainer(options, setup)``: the validated options of the
    method, and a :class:`gentool.training.Setup` with the device, the precision, the paths of
    ``--data`` and the batch size. The engine gives every loss the batches, takes the gradients,
    steps the optimizers, averages the weights, writes checkpoints and resumes, on one device or
    many; networks, optimizers and the average are saved without the trainer's doing.

    Attributes:
        model: what is being trained, and saved.
        datasets: what batches come from: :class:`gentool.training.Pictures`, or any
            map-style ``torch.utils.data.Dataset``. Every loss gets one batch of each.
        updates: what one step does, in order; most trainers have one, a GAN has two.
        learns_from: weights files of the same method whose networks these are made from, beside
            ``--weights``: a teacher's. What they say of their origin is kept with the result, and
            a resumed training must be given the same.
    """

    model: Model
    datasets: Sequence[Any]
    updates: Sequence[Update]
    learns_from: Sequence[Path] = ()

    def begin_from(self, given: Model) -> None:
        """Begin with what ``--weights`` named: networks of the same shapes, by default.

        Raises:
            Exception: as ``load_state_dict`` does, they do not fit.
        """
        for name, net in self.model.networks.items():
            net.load_state_dict(given.networks[name].state_dict())

    def preview(self) -> Sequence[Artifact]:
        """A look at the current state; the networks hold the averaged weights, in eval mode.

        Where a checkpoint is due as well it is written first: change nothing that :meth:`state`
        gives.
        """
        return []

    def calibrate(self) -> None:
        """Mend what averaging breaks; the networks hold the averaged weights, in eval mode.

        Called before they are shown, validated or saved: BatchNorm's statistics, say, are not
        those of the averaged weights. What it changes is gone when the training goes on.
        """

    def validate(self) -> Mapping[str, float]:
        """Figures on held-out data, computed at every checkpoint; the best is kept.

        Returns:
            Named figures, the first being the score: lower is better. None at all by default.
        """
        return {}

    def state(self) -> Mapping[str, Tensor]:
        """What a resumed training needs beyond networks and optimizers: nothing by default.

        With several processes it is the first one's, which all of them take back.
        """
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
