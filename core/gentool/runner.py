"""From a card and options to artifacts and files, with provenance.

:class:`Method` is what ``gentool.load("adain")`` returns; the command line drives the same class.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentool import cards, plugins
from gentool.cards import PICTURE_SUFFIXES
from gentool.compute import Compute, choose, fresh_seed, generator
from gentool.errors import BatchError, GentoolError, OutputError, UsageError, did_you_mean
from gentool.files import write_atomic
from gentool.images import Picture, name_of, read
from gentool.options import Options, validate
from gentool.progress import Progress

if TYPE_CHECKING:
    import PIL.Image
    import torch
    from torch import Tensor

    from gentool.artifacts import Artifact
    from gentool.cards import Card
    from gentool.images import Source
    from gentool.protocols import Model


@dataclass(frozen=True)
class Settings:
    """The core's own flags, the same for every action.

    Attributes:
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        seed: of everything random; None draws one and records it.
        threads: CPU threads; None leaves PyTorch's choice.
        weights: name of a packaged set, a file or a training run's folder; None for the default.
        allow_large: read pictures above the decompression-bomb limit.
    """

    device: str = "auto"
    precision: str = "auto"
    seed: int | None = None
    threads: int | None = None
    weights: str | None = None
    allow_large: bool = False


@dataclass
class Context:
    """What an action is given beside its model and options.

    Attributes:
        compute: device and precision.
        seed: of everything random.
        allow_large: see :class:`Settings`.
        progress: where progress and notes go.
        failures: (name, reason) of the batch's items that failed.
    """

    compute: Compute
    seed: int
    allow_large: bool = False
    progress: Progress = field(default_factory=Progress)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return self.compute.device

    def generator(self) -> torch.Generator:
        """A fresh CPU generator, seeded: draw on the CPU, then move, for equal numbers anywhere."""
        return generator(self.seed)

    def read(self, source: Source) -> Picture:
        """Read a picture and pass its notes on.

        Raises:
            ImageError: it cannot be read.
        """
        picture = read(source, self.allow_large)
        for text in picture.notes:
            self.progress.note(f"{name_of(source)}: {text}")
        return picture

    def each(self, sources: Sequence[Source], what: str) -> Iterable[Source]:
        """Go through a batch, showing progress."""
        return self.progress.track(sources, what) if len(sources) > 1 else sources

    @contextlib.contextmanager
    def guard(self, source: Source, batch: Sequence[Source]) -> Iterator[None]:
        """In a batch of several, a failure of the body is noted and the batch goes on."""
        try:
            yield
        except GentoolError as e:
            if len(batch) == 1:
                raise
            self.failures.append((name_of(source), str(e)))
            self.progress.note(f"failed: {e}")


class Results(list["Artifact"]):
    """An action's artifacts. Where there is just one, its parts are at hand directly."""

    @property
    def _only(self) -> Any:
        if len(self) != 1:
            raise UsageError(f"there are {len(self)} results; take one by its index")
        return self[0]

    @property
    def image(self) -> PIL.Image.Image:
        """The only picture, as an 8-bit PIL image."""
        image: PIL.Image.Image = self._only.image
        return image

    @property
    def tensor(self) -> Tensor:
        """The only picture, (3,H,W) float32 in 0..1."""
        tensor: Tensor = self._only.tensor
        return tensor

    def save(self, path: str | Path) -> Path:
        """Write the only artifact to ``path``, replacing a file of that name."""
        saved: Path = self._only.save(path)
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
        self._model: Model | None = None
        self._weights: Path | None = None
        self._compute: Compute | None = None

    def __repr__(self) -> str:
        return f"<gentool method {self.card.name}: {', '.join(a.name for a in self.card.actions)}>"

    def __getattr__(self, name: str) -> Callable[..., Results]:
        word = name.replace("_", "-")
        if name.startswith("_") or word not in {a.name for a in self.card.actions}:
            raise AttributeError(f"{self.card.name} has no action '{name}'")

        def call(**options: Any) -> Results:
            return self.run(word, **options)

        call.__name__, call.__doc__ = name, self.card.action(word).summary
        return call

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(a.name.replace("-", "_") for a in self.card.actions)]

    @property
    def compute(self) -> Compute:
        """Device and precision, chosen at the first use."""
        if self._compute is None:
            s = self.settings
            self._compute = choose(s.device, s.precision, s.threads)
        return self._compute

    @property
    def weights(self) -> Path:
        """The weights file, checked against the card where it is the plugin's own."""
        if self._weights is None:
            from gentool import weights

            self._weights = weights.find(self.card, self.settings.weights)
        return self._weights

    @property
    def model(self) -> Model:
        """The networks on their device, loaded at the first use."""
        if self._model is None:
            from gentool import weights

            compute = self.compute
            model = weights.load(cards.resolve(self.card.model), self.weights, self.card.name)
            import torch

            for net in model.networks.values():
                # dense convolutions run 1.3 to 1.7 times as fast with channels last
                net.to(compute.device, memory_format=torch.channels_last)
            self._model = model
        return self._model

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
        context = self.context()
        results = Results(self.stream(action, self.options(action, **options), context))
        if context.failures:
            raise BatchError(context.failures, results)
        return results

    def context(self, progress: Progress | None = None) -> Context:
        """A context for one run."""
        seed = self.settings.seed
        return Context(
            self.compute,
            fresh_seed() if seed is None else seed,
            self.settings.allow_large,
            progress or Progress(),
        )

    def stream(self, action: str | None, options: Options, context: Context) -> Iterator[Artifact]:
        """Run an action and yield its artifacts one by one, as they are made."""
        import torch

        chosen = self.card.action(action)
        function: Callable[..., Iterable[Artifact]] = cards.resolve(chosen.function)
        values = options.model_dump(mode="json")
        told = {"card": self.card, "action": chosen, "options": values}
        plugins.notify("gentool_before_run", context.progress.note, **told)
        torch.manual_seed(context.seed)
        with torch.inference_mode():
            for artifact in function(self.model, options, context):
                plugins.notify(
                    "gentool_after_run", context.progress.note, **told, artifact=artifact
                )
                yield artifact

    def provenance(self, action: str | None, options: Options, context: Context) -> dict[str, Any]:
        """How an artifact came to be: versions, options, seed, weights. Names of files only."""
        import torch

        from gentool import __version__
        from gentool.weights import sha256

        distribution, version = plugins.provider(self.card.name)
        return {
            "gentool": __version__,
            "method": self.card.name,
            "action": self.card.action(action).name,
            "plugin": f"{distribution} {version}",
            "options": options.model_dump(mode="json", exclude_none=True),
            "seed": context.seed,
            "weights": {"file": self.weights.name, "sha256": sha256(self.weights)},
            "torch": torch.__version__,
            "device": context.compute.device.type,
            "precision": context.compute.precision,
        }


class Output:
    """Where a run's artifacts go.

    Args:
        target: None for proposed names in the current folder, a folder (existing, or ending
            in a separator), or one file.
        inputs: files that must not be overwritten.
        label: put behind a proposed name, ``-adain``.
        several: whether more than one artifact is known to come.
        suffixes: what a file may end in.

    Raises:
        OutputError: the target cannot take the results; nothing was computed or written yet.
    """

    def __init__(
        self,
        target: str | None,
        inputs: Iterable[Path] = (),
        label: str = "",
        several: bool = False,
        suffixes: Sequence[str] = PICTURE_SUFFIXES,
    ) -> None:
        self.label = label
        self.written = 0
        self.file: Path | None = None
        self.folder = Path()
        if target is not None:
            path = Path(target).expanduser()
            if path.is_dir() or target.endswith(("/", "\\")):
                self.folder = path
            else:
                self.file, self.folder = path, path.parent
        if self.file is not None:
            if several:
                raise OutputError(f"-o {target}: there are several results; give a folder, -o DIR/")
            suffix = self.file.suffix.lower()
            if suffix not in suffixes:
                hint = did_you_mean(suffix, suffixes)
                raise OutputError(f"-o {target}: must end in {' '.join(suffixes)}{hint}")
            for source in inputs:
                if self.file.exists() and source.exists() and self.file.samefile(source):
                    raise OutputError(f"-o {target}: is an input; results never replace one")
            if not self.folder.is_dir():
                raise OutputError(f"-o {target}: there is no folder {self.folder}")
        self._probe()

    def _probe(self) -> None:
        """Find out before the work whether the folder takes files."""
        import tempfile

        try:
            if self.file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as e:
            raise OutputError(f"-o {self.folder}: cannot write there: {e.strerror or e}") from e

    def save(self, artifact: Artifact, metadata: Mapping[str, Any] | None) -> Path:
        """Write an artifact under its place; a proposed name never replaces a file.

        Raises:
            OutputError: it could not be written; nothing half-written is left.
        """
        path = self.file or self.folder / f"{artifact.name}{self.label}{artifact.suffix}"
        data = artifact.encode(path.suffix, metadata)
        replace = self.file is not None and not self.written  # a second result gets a number
        try:
            self.written += 1
            return write_atomic(path, data, replace)
        except OSError as e:
            raise OutputError(f"{path}: cannot write: {e.strerror or e}") from e


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
        seed: of everything random; None draws a fresh one for every run.
        threads: CPU threads; None leaves PyTorch's choice.
        allow_large: read pictures above the decompression-bomb limit.

    Raises:
        UsageError: there is no such method.
        PluginError: its plugin is broken, incompatible or duplicate.
    """
    settings = Settings(
        device, precision, seed, threads, None if weights is None else str(weights), allow_large
    )
    return Method(plugins.card(name), settings)


__all__ = ["Context", "Method", "Output", "Progress", "Results", "Settings", "load"]
