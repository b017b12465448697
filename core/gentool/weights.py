"""Networks in and out of safetensors files, which carry the config that rebuilds them.

A file's metadata holds ``format`` (``gentool-1``), ``method``, ``config`` (JSON) and free text
such as ``licence`` and ``trained_on``. Nothing is ever unpickled. A file is checked in the order
of what is cheapest and safest: size, header, config, shapes; memory is taken last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gentool.cards import Card, WeightsFile
from gentool.errors import OutputError, WeightsError, did_you_mean
from gentool.files import expand, write_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gentool.protocols import Model

    AnyModel = TypeVar("AnyModel", bound=Model)

FORMAT = "gentool-1"
FILE, BEST = "weights.safetensors", "best.safetensors"  # what a training writes into its folder
MAX_HEADER = 8 << 20
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
_ITEM_BYTES |= {"U8": 1, "BOOL": 1, "U16": 2, "U32": 4, "U64": 8}
_ITEM_BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1, "C64": 8}
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself.

    Attributes:
        metadata: free text by key.
        shapes: of every tensor, by name.
        dtypes: safetensors' names of them, ``F32``, ``BF16``.
        bytes: size of the file.
    """

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    bytes: int

    @property
    def parameters(self) -> int:
        """Number of values in all tensors."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def config(self) -> dict[str, Any]:
        """The config that rebuilds the networks; empty if the file has none."""
        try:
            config = json.loads(self.metadata.get("config", "{}"))
        except (ValueError, RecursionError) as e:
            raise WeightsError(f"the config inside is not JSON: {e}") from e
        if not isinstance(config, dict):
            raise WeightsError("the config inside is not a JSON object")
        return config


def read_header(path: str | Path) -> Header:
    """Read and check a safetensors header. Imports neither torch nor numpy.

    Raises:
        WeightsError: no such file, or not a sound safetensors file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as f:
            prefix = f.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            # a longer "header" is some other file; reading it would take gigabytes
            raw = f.read(length) if 2 <= length <= MAX_HEADER else b""
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except OSError as e:
        raise WeightsError(f"{path}: cannot read: {e.strerror or e}") from e
    # a sound file whose header has, say, 640 bytes begins with the same two bytes as a pickle
    pickled = prefix[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    if pickled and not raw.startswith(b"{"):
        raise WeightsError(
            f"{path}: this is a pickle, which gentool never loads; convert it to safetensors"
        )
    if len(raw) != length or length == 0:
        raise WeightsError(f"{path}: not a safetensors file, or cut short")
    try:
        entries = json.loads(raw)
        metadata = entries.pop("__metadata__", {})
        shapes = {name: tuple(e["shape"]) for name, e in entries.items()}
        dtypes = {name: str(e["dtype"]) for name, e in entries.items()}
        ends = [e["data_offsets"] for e in entries.values()]
        sound = all(
            # whole numbers, checked before they are multiplied: Infinity is JSON to Python
            all(type(n) is int and 0 <= n < 2**63 for n in (start, end, *shape))
            and end - start == math.prod(shape) * _ITEM_BYTES[dtype]
            for (start, end), shape, dtype in zip(
                ends, shapes.values(), dtypes.values(), strict=True
            )
        )
        sound = sound and all(isinstance(v, str) for v in metadata.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise WeightsError(f"{path}: not a safetensors file, or damaged")
    if 8 + length + max((end for _, end in ends), default=0) != size:
        raise WeightsError(f"{path}: cut short or padded; get the file again")
    return Header(metadata, shapes, dtypes, size)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU, after :func:`read_header`'s checks."""
    read_header(path)
    from safetensors import SafetensorError
    from safetensors.torch import load, load_file

    try:
        # load_file refuses a name that is no text, and maps the file, which Windows then locks
        if os.name != "nt" and os.fsencode(path).decode(errors="replace") == str(path):
            return load_file(path)
        return load(Path(path).read_bytes())
    except SafetensorError as e:
        raise WeightsError(f"{path}: damaged: {e}") from e


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def packaged(card: Card, name: str | None = None) -> tuple[Path, WeightsFile]:
    """One of a card's own weights sets, its size and hash checked.

    Args:
        card: whose.
        name: which set; None for the default.

    Raises:
        WeightsError: there is no such set, or the file is missing or not what the card says.
    """
    if not card.weights:
        if name is None:
            raise WeightsError(f"{card.name} packages no weights; give some with --weights FILE")
        raise WeightsError(f"{card.name} packages no weights, and there is no file '{name}'")
    known = {w.name: w for w in card.weights}
    entry = card.weights[0] if name is None else known.get(name)
    if entry is None:
        raise WeightsError(
            f"{card.name} has no weights '{name}'{did_you_mean(name or '', known)} "
            f"(it has {', '.join(known)}; a file of your own is given by its path)"
        )
    path = Path(str(resources.files(card.package).joinpath(entry.file)))
    if not path.is_file():
        raise WeightsError(f"{path}: the packaged weights are missing; reinstall {card.package}")
    if path.stat().st_size != entry.bytes or sha256(path) != entry.sha256:
        raise WeightsError(
            f"{path}: not the weights that '{card.name}' was published with (sha256 differs); "
            f"reinstall {card.package}, or give the file with --weights if you changed it yourself"
        )
    return path, entry


def find(card: Card, choice: str | None) -> Path:
    """The file that ``--weights`` means: a packaged set's name, or a path.

    Raises:
        WeightsError: neither of both.
    """
    if choice is None or choice in {w.name for w in card.weights}:
        return packaged(card, choice)[0]
    path = file_of(expand(choice))
    if os.path.isdir(path):
        raise WeightsError(
            f"{path}: holds no {FILE}; give a training's folder or a safetensors file"
        )
    if re.fullmatch(r"[\w-]+", choice) and not os.path.exists(path):
        return packaged(card, choice)[0]  # raises, naming the sets there are
    return path


def file_of(path: Path) -> Path:
    """The file that the path of one or of a training's folder means; without one in it, the path.

    What the system has against it, :func:`read_header` tells.
    """
    inside = path / FILE
    return inside if os.path.isfile(inside) else path  # unlike that of Path, it never raises


def config_values(
    config: Mapping[str, Any], limits: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """A config of whole numbers, checked: for :meth:`gentool.Model.from_config`.

    Args:
        config: as read from a file.
        limits: least and greatest value of every key there may be.

    Raises:
        WeightsError: an unknown key, or a value that is no whole number within its limits.
    """
    for name, value in config.items():
        if name not in limits:
            raise WeightsError(f"its config has an unknown '{name}'; made by a newer version?")
        low, high = limits[name]
        if type(value) is not int or not low <= value <= high:
            raise WeightsError(f"its config has {name} = {value!r}, must be {low} to {high}")
    return dict(config)


def load(model_class: type[AnyModel], path: str | Path, method: str | None = None) -> AnyModel:
    """Rebuild a model from a file, in float32 on the CPU, ready for inference.

    The networks are first laid out without memory and compared with the file's header, so a
    hostile config allocates nothing.

    Args:
        model_class: what to build.
        path: the safetensors file.
        method: refuse a file made for another method.

    Raises:
        WeightsError: the file is damaged, made for something else, or does not fit its config.
    """
    import torch

    header = read_header(path)
    made_for = header.metadata.get("method")
    if header.metadata.get("format") != FORMAT:
        raise WeightsError(f"{path}: no gentool weights (its metadata has no format {FORMAT})")
    if method is not None and made_for != method:
        raise WeightsError(f"{path}: weights of '{made_for}', not of '{method}'")
    try:
        with torch.device("meta"), _no_initialisation():
            model = model_class.from_config(header.config)
    except WeightsError as e:
        raise WeightsError(f"{path}: {e}") from e
    wanted = _state(model)
    shapes = {name: tuple(t.shape) for name, t in wanted.items()}
    for name in [*shapes, *header.shapes]:
        if shapes.get(name) != header.shapes.get(name):
            raise WeightsError(
                f"{path}: tensor '{name}' is {header.shapes.get(name, 'missing')}, "
                f"its config asks for {shapes.get(name, 'none of that name')}"
            )
    for name, tensor in wanted.items():
        stored = header.dtypes[name]
        if tensor.is_floating_point() != (stored in _FLOATS) or stored == "C64":
            raise WeightsError(
                f"{path}: tensor '{name}' is {stored}, its network has {str(tensor.dtype)[6:]}"
            )
    if any(buffer.is_meta for buffer in _constants(model)):
        # constants that are no weights have no data on the meta device; now that the sizes are
        # known to be those of the file, build them, without a draw that would shift the seed
        with torch.random.fork_rng(devices=[]):
            model = model_class.from_config(header.config)
    tensors = read_tensors(path)
    for prefix, net in model.networks.items():
        mine = {n: tensors[f"{prefix}.{n}"] for n in net.state_dict()}
        floats = {n: t.float() if t.is_floating_point() else t for n, t in mine.items()}
        net.load_state_dict(floats, assign=True)
        net.eval().requires_grad_(False)
    return model


def _no_initialisation() -> contextlib.AbstractContextManager[Any]:
    """Skip random initial values, which are about to be replaced.

    On the meta device they would also make PyTorch import its compiler, which takes a second.
    """
    from torch.overrides import TorchFunctionMode

    class Skip(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if func.__name__.endswith(("normal_", "uniform_", "orthogonal_")):
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    return Skip()


def save(path: str | Path, model: Model, method: str, half: bool = False, **metadata: str) -> None:
    """Write a model's networks and config, atomically.

    Args:
        path: the file to write.
        model: whose networks.
        method: name of the method.
        half: store floating-point tensors as float16, half the size.
        metadata: free text to keep: licence, trained_on, origin, recipe.

    Raises:
        OutputError: the file cannot be written, or a value is too large for float16.
    """
    import torch

    def pack(name: str, t: Tensor) -> Tensor:
        # a copy each: safetensors refuses tensors that share memory, as tied weights do
        t = t.detach().cpu().clone(memory_format=torch.contiguous_format)
        if not (half and t.is_floating_point()):
            return t
        packed = t.to(torch.float16)
        if bool((packed.isinf() & ~t.isinf()).any()):
            raise OutputError(f"{path}: tensor '{name}' holds values too large for float16")
        return packed

    config = json.dumps(dict(model.get_config()), sort_keys=True)
    header = {"format": FORMAT, "method": method, "config": config, **metadata}
    write_tensors(path, {n: pack(n, t) for n, t in _state(model).items()}, header)


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors and metadata to a safetensors file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    from safetensors.torch import save as to_bytes

    # on Linux a file's name may hold what is no text
    texts = {n: text.encode(errors="backslashreplace").decode() for n, text in metadata.items()}
    write_file(Path(path), to_bytes(dict(tensors), texts))


def fingerprint(*networks: nn.Module) -> str:
    """Short hash of networks' tensors: whether what one model made is for this one as well."""
    found = hashlib.sha256()
    for network in networks:
        for tensor in network.state_dict().values():
            found.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _state(model: Model) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name}": tensor
        for prefix, net in model.networks.items()
        for name, tensor in net.state_dict().items()
    }


def _constants(model: Model) -> list[Tensor]:
    """Buffers that are not saved with the weights."""
    saved = _state(model)
    return [
        buffer
        for prefix, net in model.networks.items()
        for name, buffer in net.named_buffers()
        if f"{prefix}.{name}" not in saved
    ]
