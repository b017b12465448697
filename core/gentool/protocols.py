"""The three protocols a method is made of. A third party needs nothing else.

Pictures are float32 tensors (N,3,H,W), RGB, 0..1, unless a method says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gentool.artifacts import Artifact

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
    """What a method does in one training step; the loop does everything else.

    Built as ``Trainer(options, compute)``: the validated options and a
    :class:`gentool.compute.Compute` that says where and how precisely to compute.
    """

    model: Model

    def batches(self, seed: int, start: int) -> Iterable[Any]:
        """Batches from step ``start`` on, without end; the same seed gives the same ones."""
        ...

    def step(self, batch: Any, progress: float) -> Mapping[str, float]:
        """One update of the networks.

        Args:
            batch: what :meth:`batches` gave.
            progress: share of the training that is done, 0..1, for schedules.

        Returns:
            Named scalars for the log. A value that is not finite stops the training.
        """
        ...

    def preview(self) -> Sequence[Artifact]:
        """A look at the current state."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Everything that a resumed training needs, as tensors by name."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        ...
