"""From a card and options to artifacts and files, with provenance.

:class:`Method` is what ``gentool.load("adain")`` returns; the command line drives the same class.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentool import cards, extensions, plugins
from gentool.compute import Compute, Randomness, choose, fresh_seed, out_of_memory_explained
from gentool.context import Context, Settings
from gentool.errors import BatchError, UsageError
from gentool.files import expand
from gentool.options import Options, validate
from gentool.progress import Progress

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor

    from gentool.artifacts import Artifact
    from gentool.cards import Card
    from gentool.protocols import Model


class Results(list["Artifact"]):
    """An action's artifacts. Where there is just one beside companions, its parts are at hand.

    Attributes:
        provenance: how each artifact came to be, the seed included, in the same order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.provenance: list[dict[str, Any]] = []

    @property
    def _index(self) -> int:
        results = [i for i, artifact in enumerate(self) if not artifact.part]
        if len(results) != 1:
            raise UsageError(f"there are {len(results)} results; take one by its index")
        return results[0]

    @property
    def _only(self) -> Any:
        return self[self._index]

    @property
    def image(self) -> PIL.Image.Image:
        """The only picture, as an 8-bit PIL image, RGBA where there is alpha.

        Raises:
            UsageError: there are several results, or none.
            AttributeError: the result is no picture: an animation, figures, a file.
        """
        image: PIL.Image.Image = self._only.image
        return image

    @property
    def tensor(self) -> Tensor:
        """The only picture, (3,H,W) float32 in 0..1, or (1,H,W) if it is grey, without alpha.

        Raises:
            UsageError: there are several results, or none.
            AttributeError: the result is no picture: an animation, figures, a file.
        """
        tensor: Tensor = self._only.tensor
        return tensor

    def save(self, path: str | Path) -> Path:
        """Write the only artifact and its provenance to ``path``, replacing a file of that name.

        Raises:
            UsageError: there are several results, or none.
            OutputError: the suffix is unknown or the file cannot be written.
        """
        saved: Path = self._only.save(expand(path), self.provenance[self._index])
        return saved


class Method:
    """A method, ready to run. Its model is loaded at the first use and kept.

    Actions are Python methods: ``gentool.load("adain").stylize(content="a.jpg", style=image)``.

    Args:
        card: of the method.
        settings: the core's flags.
    """

    def __init__(self, card: Card, settings: Settings | None = None) -> None:
        self.card = card
        self.settings = settings or Settings()
        self._weights_facts: dict[str, str] | None = None  # of those that were loaded

    def __repr__(self) -> str:
        return f"<gentool method {self.card.name}: {', '.join(a.name for a in self.card.actions)}>"

    def __getattr__(self, name: str) -> Callable[..., Results]:
        if hasattr(type(self), name):  # a property raised AttributeError: let that one be seen
            return object.__getattribute__(self, name)  # type: ignore[no-any-return]
        if "card" not in vars(self):  # being copied or unpickled
            raise AttributeError(name)
        word = name.replace("_", "-")
        if name.startswith("_") or word not in {a.name for a in self.card.actions}:
            raise AttributeError(f"{self.card.name} has no action '{name}'")

        action = self.card.action(word)
        model: type[Options] = cards.resolve(action.options)

        def call(*unnamed: object, **options: Any) -> Results:
            if unnamed:
                raise UsageError(
                    f"{name}: give options by name, {next(iter(model.model_fields))}=..."
                )
            return self.run(word, **options)

        call.__name__ = call.__qualname__ = name
        call.__doc__ = action.summary
        call.__signature__ = model.__signature__  # type: ignore[attr-defined]
        return call

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(a.name.replace("-", "_") for a in self.card.actions)]

    @functools.cached_property
    def compute(self) -> Compute:
        """Device and precision, chosen at the first use."""
        s = self.settings
        return choose(s.device, s.precision, s.threads)

    @functools.cached_property
    def weights(self) -> Path | None:
        """The weights file, its hash checked where it is the plugin's own; None without any."""
        from gentool import weights

        if not self.card.weights and self.settings.weights is None:
            return None  # a method that needs no training
        return weights.find(self.card, self.settings.weights)

    @functools.cached_property
    def _provider(self) -> str:
        return " ".join(plugins.provider(self.card.name))

    @functools.cached_property
    def model(self) -> Model:
        """The networks on their device, loaded at the first use and ready for inference.

        Those without weights are drawn with seed 0 whatever the run's, as if they had some.
        """
        import torch

        from gentool import weights

        compute = self.compute
        model_class: type[Model] = cards.resolve(self.card.model)
        path = self.weights
        if path is None:
            with cards.to_stderr(), torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)
                model = model_class.from_config({})
        else:
            with cards.to_stderr():
                model = weights.load(model_class, path, self.card.name)
            # now: a training that goes on replaces its file, and results may take their time
            self._weights_facts = {"file": path.name, "sha256": weights.sha256(path)}
        for net in model.networks.values():
            compute.place(net).eval().requires_grad_(False)
        return model

    def options(self, action: str | None = None, /, **values: Any) -> Options:
        """Validated options of an action.

        Raises:
            UsageError: an unknown name or a bad value.
        """
        model: type[Options] = cards.resolve(self.card.action(action).options)
        return validate(model, values)

    def run(self, action: str | None = None, /, **options: Any) -> Results:
        """Run an action and collect its artifacts.

        Args:
            action: its name; None for the default one.
            options: its options by name.

        Raises:
            GentoolError: whatever the user, a file or the plugin did wrong.
            BatchError: some items of a batch failed; the error carries the other results.
        """
        from gentool.artifacts import handed_over

        checked = self.options(action, **options)  # first: it costs no import of torch
        context = self.context()
        results = Results()
        for artifact in self.stream(action, checked, context):
            made = self.provenance(action, checked, context, artifact)
            results.append(handed_over(artifact, made))
            results.provenance.append(made)
        if context.failures:
            raise BatchError(context.failures, results)
        return results

    def context(self, progress: Progress | None = None) -> Context:
        """A context for one run."""
        seed = self.settings.seed
        return Context(
            replace(self.compute),  # of its own: it notes what it is used for
            fresh_seed() if seed is None else seed,
            self.settings.allow_large,
            progress or Progress(),
            seed_drawn=seed is None,
        )

    def stream(self, action: str | None, options: Options, context: Context) -> Iterator[Artifact]:
        """Run an action and yield its artifacts one by one, as they are made.

        The action runs in PyTorch's inference mode and with its global generators seeded; what it
        prints while it is asked for an artifact goes to stderr. The caller's code has none of that.
        """
        import torch

        chosen = self.card.action(action)
        function: Callable[..., Iterable[Artifact]] = cards.resolve(chosen.function)
        values = options.model_dump(mode="json")
        told = {"card": self.card, "action": chosen, "options": values}
        heard = type(context.progress) is not Progress  # in Python, nobody listens to that one
        report: Callable[[str], None] = context.progress.note if heard else warnings.warn
        extensions.notify("gentool_before_run", report, **told)
        model = self.model  # loaded outside of inference mode: it may be trained on afterwards
        randomness = Randomness(context.seed, self.compute.device)
        artifacts: Iterator[Artifact] | None = None
        try:
            while True:
                with (
                    torch.inference_mode(),
                    randomness(),
                    cards.to_stderr(),
                    out_of_memory_explained(),
                ):
                    if artifacts is None:
                        artifacts = iter(function(model, options, context))
                    artifact = next(artifacts, None)
                if artifact is None:
                    return
                extensions.notify("gentool_after_run", report, **told, artifact=artifact)
                yield artifact
        finally:  # also where the caller leaves early: threads may be at work for it
            if isinstance(artifacts, Generator):
                artifacts.close()

    def provenance(
        self, action: str | None, options: Options, context: Context, artifact: Artifact
    ) -> dict[str, Any]:
        """How an artifact came to be: versions, options, seed, weights. Names of files only."""
        import torch

        from gentool import __version__

        return {
            "gentool": __version__,
            "method": self.card.name,
            "action": self.card.action(action).name,
            "plugin": self._provider,
            "options": options.model_dump(mode="json", exclude_none=True)
            | dict(artifact.made_from),
            "seed": context.seed,
            "weights": self._weights_facts,
            "torch": torch.__version__,
            "device": context.compute.device.type,
            "precision": context.compute.used,
        }


def load(
    name: str,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    seed: int | None = None,
    threads: int | None = None,
    allow_large: bool = False,
) -> Method:
    """A method by name, ready to run.

    Args:
        name: as ``gentool list`` shows it.
        weights: a packaged set's name, a file or a training run's folder; None for the default.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        seed: of everything random, 0..2^63-1; None draws a fresh one for every run.
        threads: CPU threads; None leaves PyTorch's choice.
        allow_large: read pictures of more than 179 megapixels, which may be made to fill memory.

    Weights and device are looked for at the first use.

    Raises:
        UsageError: there is no such method, or device, precision, seed or threads are none.
        PluginError: its plugin is broken, incompatible or duplicate.
    """
    settings = Settings(
        device, precision, seed, threads, None if weights is None else str(weights), allow_large
    )
    return Method(plugins.card(name), settings)


__all__ = ["Method", "Results", "load"]
