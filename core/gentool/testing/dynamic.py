"""Checks that run a method on small pictures, on the CPU in fp32."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gentool import cards, weights
from gentool.errors import BatchError, GentoolError, UsageError
from gentool.testing.subject import (
    BATCH,
    MODES,
    SIZES,
    Finding,
    Skip,
    Subject,
    Untried,
    takes_pictures,
)

if TYPE_CHECKING:
    from gentool.artifacts import Artifact
    from gentool.cards import Action

NONE: Mapping[str, Any] = MappingProxyType({})
ALONE = "see what the check on small and odd pictures says of it"
TOLERANCE = 1e-4  # in fp32; summing in another order costs about 1e-6


def packaged_weights_match_and_load_strictly(subject: Subject) -> Iterator[Finding]:
    card = subject.card
    if not card.weights:
        raise Skip("it packages no weights")
    model = cards.resolve(card.model)
    for entry in card.weights:
        try:
            path, _ = weights.packaged(card, entry.name)
            weights.load(model, path, card.name)
        except GentoolError as e:
            remedy = "give the file's true bytes and sha256 in the card: gentool info FILE"
            yield Finding(f"weights {entry.name}: {e}", remedy)


def saving_and_loading_is_bit_exact(subject: Subject) -> Iterator[Finding]:
    import torch

    model = subject.model
    if not model.networks:
        raise Skip("it has no networks")
    path = subject.folder / "saved.safetensors"
    try:
        weights.save(path, model, subject.card.name)
        loaded = weights.load(type(model), path, subject.card.name)
    except GentoolError as e:
        remedy = "get_config() must give what from_config() needs to build the same networks"
        yield Finding(f"saved weights cannot be loaded: {e}", remedy)
        return
    for prefix, network in model.networks.items():
        after = loaded.networks[prefix].state_dict()
        for name, tensor in network.state_dict().items():
            if not torch.equal(tensor.float().cpu(), after[name].float()):
                yield Finding(
                    f"{prefix}.{name} is not the same after saving and loading",
                    "keep in buffers and parameters only what from_config() does not compute",
                )


def actions_run_on_small_and_odd_pictures(subject: Subject) -> Iterator[Finding]:
    assert subject.model  # or skip
    for action in subject.card.actions:
        tries = [(size, "RGB") for size in SIZES] + [(SIZES[1], mode) for mode in MODES]
        for size, mode in tries if _takes_pictures(action) else tries[:1]:
            kind = {"RGBA": "transparent ", "L": "grey "}.get(mode, "")
            shown = f"{action.name} of a {kind}picture of {size[0]} x {size[1]} pixels"
            try:
                made = _run(subject, action, size, mode)
            except UsageError as e:
                remedy = f"give an example: Field(examples=[...]), or options['{action.name}']"
                yield Finding(f"{action.name} cannot be tried: {e}", remedy)
                break
            except GentoolError as e:
                # a method may refuse what is too small for it, in one line
                if min(size) >= min(SIZES[1]):
                    yield Finding(f"{shown} fails: {e}", "make it work for every size")
                continue
            except Exception as e:  # a plugin raises anything
                remedy = "make it work, or raise a GentoolError that says what to do"
                yield Finding(f"{shown} raises {type(e).__name__}: {e}", remedy)
                continue
            if not made:
                yield Finding(f"{shown} yields nothing", "yield at least one artifact")
            for artifact in made:
                yield from _sound(artifact, shown)


def a_batch_equals_its_items(subject: Subject) -> Iterator[Finding]:
    tried, untried = False, list[Untried]()
    for action in subject.card.actions:
        fields = cards.resolve(action.options).model_fields
        batches = ((n, i.alias or n) for n, i in fields.items() if takes_pictures(i) == "batch")
        field, name = next(batches, (None, ""))
        if field is None:
            continue
        paths = [subject.picture(*size, number) for number, size in enumerate(BATCH)]
        try:
            together = _run(subject, action, more={name: paths})
            singly = [
                artifact
                for path in paths
                for artifact in _run(subject, action, more={name: [path]})
            ]
        except Exception as e:
            untried.append(Untried(action.name, e, ALONE))
            continue
        tried = True
        remedy = f"draw from context.generator() anew for every item of {name}, and keep no state"
        if len(together) != len(singly):
            counts = (
                f"{len(together)} results of {len(paths)} items, but {len(singly)} of each alone"
            )
            yield Finding(f"{action.name} gives {counts}", remedy)
            continue
        for i, (a, b) in enumerate(zip(together, singly, strict=True)):
            off = _distance(a, b)
            if off > TOLERANCE:
                yield Finding(
                    f"{action.name} of a batch differs from that of item {i} alone by {off:.2g}",
                    remedy,
                )
        if any(field not in artifact.made_from for artifact in together):
            yield Finding(
                f"{action.name} of a batch does not tell which item a result was made from",
                f"give artifacts made_from={{'{field}': name_of(item)}}; files keep it",
            )
    if not tried:
        raise Skip("; ".join(map(str, untried)) or "no action takes several pictures")
    yield from untried


def the_same_seed_gives_the_same_result(subject: Subject) -> Iterator[Finding]:
    tried, untried = False, list[Untried]()
    for action in subject.card.actions:
        try:
            first, second = (_run(subject, action) for _ in range(2))
        except Exception as e:
            untried.append(Untried(action.name, e, ALONE))
            continue
        tried = True
        off = max((_distance(a, b) for a, b in zip(first, second, strict=False)), default=0.0)
        if off > 0 or len(first) != len(second):
            yield Finding(
                f"{action.name} gives another result at the second call with the same seed",
                "draw from context.generator(), and keep no state between calls",
            )
    if not tried:
        raise Skip("; ".join(map(str, untried)) or "it has no actions")
    yield from untried


def _takes_pictures(action: Action) -> bool:
    fields = cards.resolve(action.options).model_fields
    return any(takes_pictures(info) for info in fields.values())


def _run(
    subject: Subject,
    action: Action,
    size: tuple[int, int] = SIZES[0],
    mode: str = "RGB",
    more: Mapping[str, Any] = NONE,
) -> Sequence[Artifact]:
    try:
        return subject.method.run(action.name, **(subject.values(action, size, mode) | dict(more)))
    except BatchError as e:
        raise GentoolError(e.failures[0][1]) from e


def _tensors(artifact: Artifact) -> Sequence[Any]:
    """The pictures in an artifact, each (1 or 3,H,W), and the alpha of one that has it."""
    from gentool.artifacts import Animation, Grid, Image

    if isinstance(artifact, Image):
        return [artifact.tensor, *([] if artifact.alpha is None else [artifact.alpha])]
    if isinstance(artifact, Grid):
        return list(artifact.tensors)
    return list(artifact.frames) if isinstance(artifact, Animation) else []


def _sound(artifact: Artifact, shown: str) -> Iterator[Finding]:
    import torch

    from gentool.artifacts import Image

    for tensor in _tensors(artifact):
        remedy = "yield float32 pictures (3,H,W) or (1,H,W), alpha too, in 0..1; clamp(0, 1) helps"
        if tensor.dim() != 3 or tensor.shape[0] not in (1, 3) or 0 in tensor.shape:
            yield Finding(f"{shown} gives a tensor of shape {tuple(tensor.shape)}", remedy)
        elif tensor.dtype != torch.float32:
            yield Finding(f"{shown} gives {tensor.dtype}", remedy)
        elif not bool(tensor.isfinite().all()):
            yield Finding(f"{shown} gives values that are not finite", remedy)
        elif bool((tensor < 0).any() | (tensor > 1).any()):
            low, high = tensor.min().item(), tensor.max().item()
            yield Finding(f"{shown} gives values from {low:.3g} to {high:.3g}", remedy)
    if isinstance(artifact, Image) and artifact.alpha is not None:
        size, alpha = tuple(artifact.tensor.shape), tuple(artifact.alpha.shape)
        if alpha != (1, *size[1:]):
            problem = f"{shown} gives a picture {size} with an alpha {alpha}"
            yield Finding(problem, "bring the alpha to the picture's size, (1,H,W)")
            return
    try:
        data = artifact.encode(artifact.suffix)
    except Exception as e:  # a plugin's own kind of artifact may do anything
        yield Finding(f"{shown} cannot be written as {artifact.suffix}: {e}", "correct encode()")
        return
    if not data:
        yield Finding(f"{shown} is written as an empty file", "correct encode()")


def _distance(a: Artifact, b: Artifact) -> float:
    """Largest difference of pixels, alpha or figures; infinite if they cannot be compared."""
    from gentool.artifacts import Figures

    if isinstance(a, Figures) and isinstance(b, Figures):
        return _figures(a.values, b.values)
    ours, theirs = _tensors(a), _tensors(b)
    if not ours and not theirs:
        return 0.0 if a.encode(a.suffix) == b.encode(b.suffix) else float("inf")
    if [t.shape for t in ours] != [t.shape for t in theirs]:
        return float("inf")
    return max((_pixels(x, y) for x, y in zip(ours, theirs, strict=True)), default=0.0)


def _pixels(a: Any, b: Any) -> float:
    if bool((a.isnan() != b.isnan()).any()):  # a difference from nan is no number to compare
        return float("inf")
    return float((a - b).abs().nan_to_num(0.0).max())


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    if a.keys() != b.keys():
        return float("inf")
    return max((_figure(a[name], b[name]) for name in a), default=0.0)


def _figure(a: Any, b: Any) -> float:
    """Relative difference of numbers; texts are the same or not."""
    if not all(isinstance(value, int | float) for value in (a, b)):
        return 0.0 if a == b else math.inf
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    off = abs(a - b) / max(1, abs(a))
    return off if math.isfinite(off) else math.inf  # nan is greater than nothing
