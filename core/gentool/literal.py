"""Read a plugin's cards out of its source text, without importing it.

A card is written as literals, so that what a wheel claims can be compared with what it holds
before any of its code runs. Understood are texts, numbers and ``-`` before one, tuples, lists and
dictionaries, ``+`` between two texts or two tuples, f-strings that put texts together, names that
the same file assigns above, and calls of ``Card``, ``Action``, ``Training``, ``WeightsFile`` and
``Record``.
"""

from __future__ import annotations

import ast
from typing import Any

from gentool.cards import Action, Card, Record, Training, WeightsFile
from gentool.errors import PluginError

_CALLS = {c.__name__: c for c in (Action, Card, Record, Training, WeightsFile)}
MAX_SOURCE = 1 << 20
MAX_STEPS = 20_000


class _NotLiteral(Exception):  # noqa: N818  # never leaves this module
    """A piece of the source that is not a literal."""

    def __init__(self, node: ast.AST) -> None:
        super().__init__(ast.unparse(node)[:60])
        self.line = getattr(node, "lineno", 0)


def cards(source: str, where: str = "plugin.py") -> list[Card]:
    """Every card in a module's source text.

    Raises:
        PluginError: it is no Python, or a card is malformed or not written as literals.
    """
    return [card for card in _records(source, where, "Card") if isinstance(card, Card)]


def records(source: str, where: str = "plugin.py") -> list[Record]:
    """Every record of a loss, metric or command in a module's source text.

    Raises:
        PluginError: as for :func:`cards`.
    """
    return [r for r in _records(source, where, "Record") if isinstance(r, Record)]


def _records(source: str, where: str, kind: str) -> list[Any]:
    try:
        if len(source) > MAX_SOURCE:
            raise PluginError(f"{where}: larger than {MAX_SOURCE >> 20} MiB")
        tree = ast.parse(source)
        reader = _Reader(tree)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        return [reader.value(node) for node in calls if _called(node) == kind]
    except _NotLiteral as e:
        raise PluginError(
            f"{where}, line {e.line}: '{e}' is no literal; write the {kind} so that it can be read "
            "without running the plugin"
        ) from None
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as e:
        raise PluginError(f"{where}: cannot read the {kind}: {str(e) or type(e).__name__}") from e


def _called(node: ast.AST) -> str | None:
    """``Card`` for ``Card(...)`` and ``gentool.Card(...)``."""
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    return name if name in _CALLS else None


class _Reader:
    """Values of the literals in one file."""

    def __init__(self, tree: ast.Module) -> None:
        self.steps = 0
        self.assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for name in (target.id for target in targets if isinstance(target, ast.Name)):
                    self.assigned.setdefault(name, []).append(node.value)

    def _named(self, node: ast.Name) -> ast.expr:
        """The last value that a name was given above its use."""
        above = [v for v in self.assigned.get(node.id, ()) if v.lineno < node.lineno]
        if not above:
            raise _NotLiteral(node)
        return max(above, key=lambda value: value.lineno)

    def value(self, node: ast.expr) -> Any:
        self.steps += 1
        if self.steps > MAX_STEPS:  # names may double each other again and again
            raise _NotLiteral(node)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.value(self._named(node))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.value(node.operand)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._sum(node)
        if isinstance(node, ast.Tuple | ast.List | ast.Dict):
            return self._several(node)
        if isinstance(node, ast.JoinedStr):
            values = [self._part(part) for part in node.values]
            good = all(isinstance(value, str) for value in values)
            if good and sum(map(len, values)) <= MAX_SOURCE:
                return "".join(values)
        kind = _called(node)
        if kind and isinstance(node, ast.Call) and all(k.arg for k in node.keywords):
            unnamed = [self.value(argument) for argument in node.args]
            named = {str(k.arg): self.value(k.value) for k in node.keywords}
            return _CALLS[kind](*unnamed, **named)
        raise _NotLiteral(node)

    def _part(self, node: ast.expr) -> Any:
        """A piece of an f-string."""
        if not isinstance(node, ast.FormattedValue):
            return self.value(node)
        if node.conversion != -1 or node.format_spec:  # {text!r} or {text:>8}
            raise _NotLiteral(node)
        return self.value(node.value)

    def _several(self, node: ast.Tuple | ast.List | ast.Dict) -> Any:
        if isinstance(node, ast.Dict):
            keys = [key for key in node.keys if key]
            if len(keys) < len(node.keys):  # {**more}
                raise _NotLiteral(node)
            values = [self.value(value) for value in node.values]
            return dict(zip(map(self.value, keys), values, strict=True))
        items = [self.value(item) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items

    def _sum(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        alike = type(left) is type(right) and isinstance(left, str | tuple)
        if not alike or len(left) + len(right) > MAX_SOURCE:
            raise _NotLiteral(node)
        return left + right
