"""From a method's name, options and plan to a training: what ``gentool train`` calls."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gentool import __version__, weights
from gentool.compute import Compute, choose, cores, describe, out_of_memory_explained
from gentool.errors import TrainingError, UsageError
from gentool.files import expand, real, write_file
from gentool.options import Options, flag
from gentool.training import runs
from gentool.training.checkpoint import take_network
from gentool.training.data.feed import count
from gentool.training.display import Display
from gentool.training.distributed import Group, all_or_none, join, launched
from gentool.training.folder import refuse
from gentool.training.loop import fit
from gentool.training.plan import Plan
from gentool.training.seeds import derive, seed_everything
from gentool.training.setup import Setup
from gentool.training.state import networks

if TYPE_CHECKING:
    from gentool.protocols import Model, Trainer


def train(
    method: str,
    build: Callable[[Any, Setup], Trainer],
    options: Options | None,
    plan: Plan,
    run: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    seed: int = 0,
    start: Path | None = None,
    display: Display | None = None,
) -> bool:
    """Train a method into a folder, in this process or in all that torchrun started.

    Args:
        method: its name, kept with the weights.
        build: its Trainer class, or a function of the options and the setup.
        options: of the trainer.
        plan: how long, how, and how often what.
        run: the folder; ``gentool run METHOD --weights RUN`` takes it afterwards.
        device: as for :func:`gentool.compute.choose`.
        precision: as there.
        threads: as there.
        seed: of everything random.
        start: weights to begin from.
        display: told what happens.

    Returns:
        Whether all is done; False after Ctrl-C.

    Raises:
        GentoolError: as :func:`gentool.training.fit` says, and where device or weights do not do.
    """
    if plan.resume and start:
        raise UsageError("--resume goes on from the run's own networks; leave out --weights")
    if plan.devices > 1 and not launched():
        raise UsageError(
            f"{plan.devices} devices take as many processes: start the script with torchrun "
            f"--nproc-per-node {plan.devices}, or train with gentool train --devices {plan.devices}"
        )
    display, run = display or Display(), expand(run)
    for name, path in _given_paths(plan, options):
        if real(run).is_relative_to(real(expand(path))):
            raise UsageError(f"-o {run}: lies in {name} {path}; previews would be trained on")
    refuse(run, plan.resume)  # before archives are read
    group = join(device)
    compute = _compute(group, device, precision, threads)
    torch.backends.cudnn.benchmark = True  # batches have one size: look for the quickest
    setup = Setup(plan, compute, group, display.note, continues=plan.resume or start is not None)
    with all_or_none(group), _memory_explained():
        seed_everything(derive(seed, "networks"))  # the same in every process
        trainer = build(options, setup)
        began = _began(run) if plan.resume else []
        if start:
            _begin_from(trainer, start, method, display.note)
            began = [_described(start)]
        learnt = [_described(path) for path in trainer.learns_from]
        sets = [count(samples) for samples in trainer.datasets]
    chosen = options.model_dump(mode="json") if options else {}
    facts: dict[str, Any] = {
        "method": method,
        "options": chosen,
        "plan": plan.model_dump(mode="json", exclude_none=True),
        "seed": seed,
        "start": began,
        "sets": sets,
        "machine": _machine(setup),
    }
    if group.first:
        display.note(_headline(facts))
        _tell_what_is_no_use(plan, display.note)
    names = ", ".join(facts["plan"]["data"]) or "no --data"
    metadata = {
        "trained_on": f"{' and '.join(map(str, sets))} samples ({names})",
        "origin": f"trained with gentool {__version__} on {facts['machine']['device']}",
        "licence": "not stated; follows from the terms of the data",
    }
    for how, sources in (("began from", began), ("learnt from", learnt)):
        for source in sources:
            for name in metadata:
                metadata[name] += f"; {how} {source['file']}: {source[name]}"
    begun = _remember(run, facts) if group.first else None
    with _compiler_explained(), _memory_explained():
        hyper = _hyper(method, chosen, learnt)
        return fit(trainer, setup, run, method, seed, hyper, metadata, display, begun)


def _given_paths(plan: Plan, options: Options | None) -> Iterator[tuple[str, str | Path]]:
    """What pictures may be read from: --data, and a method's own such as --style-data."""
    for path in plan.data:
        yield "--data", path
    for name, value in options or ():
        if isinstance(value, list):
            yield from ((flag(name), path) for path in value if isinstance(path, Path))


def _memory_explained() -> contextlib.AbstractContextManager[None]:
    remedy = "take a smaller --batch-size, which --accumulate makes up for, or another --cache"
    return out_of_memory_explained(remedy, TrainingError)


@contextlib.contextmanager
def _compiler_explained() -> Iterator[None]:
    """Make one line of what PyTorch raises where ``--compile`` finds no compiler or it fails."""
    try:
        yield
    except Exception as e:
        dynamo: Any = sys.modules.get("torch._dynamo.exc")  # imported by what is compiled alone
        if dynamo is None or not isinstance(e, dynamo.ShortenTraceback):
            raise
        reason = str(e).strip().splitlines()[0]
        raise TrainingError(f"--compile: {reason}; leave it out") from e


def _compute(group: Group, device: str, precision: str, threads: int | None) -> Compute:
    if group.size > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{group.local_rank}"
    return choose(device, precision, threads)


def _begin_from(trainer: Trainer, start: Path, method: str, note: Callable[[str], None]) -> None:
    given = weights.load(type(trainer.model), start, method)
    try:
        trainer.begin_from(given)
    except (RuntimeError, KeyError) as e:
        why = _difference(given, trainer.model) or str(e).splitlines()[-1].strip()
        raise UsageError(
            f"--weights {start}: made with other network settings than this training's: {why}"
        ) from e
    for name, net in networks(trainer).items():
        if name not in trainer.model.networks:
            take_network(name, net, start, note)


def _described(path: Path) -> dict[str, str]:
    """What is to be kept of weights that went into these: where they come from."""
    told = weights.read_header(path).metadata
    path = path.resolve()
    # those of every training have the same name
    several = path.name in (weights.FILE, weights.BEST)
    name = f"{path.parent.name}/{path.name}" if several else path.name
    facts = {name: told.get(name, "not stated") for name in ("trained_on", "origin", "licence")}
    return {"file": name, "sha256": weights.sha256(path), **facts}


def _began(run: Path) -> list[dict[str, str]]:
    """What a training that is resumed began from, as its last session says."""
    kept = next((session.get("start") for session in reversed(runs.sessions(run))), None)
    return kept if isinstance(kept, list) else []


def _difference(given: Model, wanted: Model) -> str:
    """What two models' configs differ in."""
    a, b = given.get_config(), wanted.get_config()
    changed = [name for name in {**a, **b} if a.get(name) != b.get(name)]
    return "; ".join(f"{name} was {a.get(name)} and is now {b.get(name)}" for name in changed)


def _machine(setup: Setup) -> dict[str, Any]:
    names = describe()
    return {
        "device": f"{setup.device}: {names.get(_indexed(setup.device), 'unknown')}",
        "processes": setup.group.size,
        "precision": setup.compute.precision,
        "cores": cores(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gentool": __version__,
    }


def _indexed(device: torch.device) -> str:
    """``cuda:0`` of ``cuda``, as devices are listed."""
    return f"{device}:0" if device.type == "cuda" and device.index is None else str(device)


def _headline(facts: Mapping[str, Any]) -> str:
    machine, plan = facts["machine"], facts["plan"]
    step = plan["batch_size"] * plan["accumulate"] * machine["processes"]
    sets = " and ".join(f"{count:,}" for count in facts["sets"])
    return (
        f"training {facts['method']} on {machine['device']}, {machine['precision']}: "
        + (f"{sets} pictures, " if sets else "")
        + f"{step} a step"
    )


def _tell_what_is_no_use(plan: Plan, note: Callable[[str], None]) -> None:
    if plan.lr_final and plan.lr_schedule == "constant":
        note(
            f"--lr-final {plan.lr_final:g}: no use, with --lr-schedule constant learning rates do "
            "not fall; take linear or cosine"
        )


def _hyper(
    method: str, options: Mapping[str, Any], learnt: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """What is compared on resume beyond the plan."""
    hyper: dict[str, Any] = {f"{method}: {name}": value for name, value in options.items()}
    # options tell the names of files alone
    return hyper | ({"learns_from": [source["sha256"] for source in learnt]} if learnt else {})


def _remember(run: Path, facts: Mapping[str, Any]) -> Callable[[], None]:
    """Write run.json, for people and for `gentool report`; one entry for every resume."""

    def write() -> None:
        before = runs.sessions(run)  # or of a training that came to no checkpoint
        begun = datetime.now(UTC).isoformat(timespec="seconds")
        sessions = [*before, {"begun": begun, "command": sys.argv[1:], **facts}]
        write_file(run / runs.SESSIONS, json.dumps({"sessions": sessions}, indent=2).encode())

    return write
