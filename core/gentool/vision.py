"""torchvision's transforms, also where its compiled part does not fit the installed torch.

Importing torchvision next to a torch it was not compiled for fails with "operator
torchvision::nms does not exist": its Python code registers shapes for two operators of its
compiled part. gentool uses no such operator, so where they are missing their signatures are
declared, and the import goes through. A healthy torchvision is left alone.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from gentool.errors import PluginError

_MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@functools.cache
def transforms() -> Any:
    """The module ``torchvision.transforms.v2``.

    Raises:
        PluginError: torchvision is not installed, or cannot be imported.
    """
    try:
        return _import()
    except ModuleNotFoundError as e:
        raise PluginError(
            f"training needs {str(e.name).partition('.')[0]}, which is not installed; "
            "pip install 'gentool-core[train]'"
        ) from e
    except RuntimeError as e:
        if "torchvision::nms" not in str(e):
            raise PluginError(f"cannot import torchvision: {e}") from e
        _declare()
        return _import()


def _import() -> Any:
    import torchvision.transforms.v2

    return torchvision.transforms.v2


@functools.cache  # keeps the library, and with it the declarations, alive
def _declare() -> Any:
    import torch.library

    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    declare: Any = torch.library.Library
    library = declare("torchvision", "FRAGMENT")
    for signature in _MISSING:
        library.define(signature)
    return library
