"""Mutants of a source file: the same code with one small mistake, made in the syntax tree and never written down.

Comparisons and their bounds, arithmetic, and / or, not, conditions, whole numbers, bounds of slices, returned values,
statements, the order of arguments. Left alone is what no test can see: annotations, docstrings, decorators, imports,
what runs under TYPE_CHECKING or as a script, and zip's `strict`, which only guards against ourselves.
"""

import ast
import collections
import copy
import dataclasses
from collections.abc import Iterator
from types import CodeType

_COMPARED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_CALCULATED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_DELETED = (ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One mistake."""

    file: str
    """Below the project's folder."""
    line: int
    place: int
    """Of the node among those that can be changed."""
    variant: int
    """Of the node's changes."""
    what: str
    nth: int
    """Among those of its line of which the same is told."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.what}"


def mutants(file: str, source: str) -> list[Mutant]:
    """All mutants of a source file, in the order of its syntax tree."""
    found, seen = [], collections.Counter[tuple[int, str]]()
    for place, node in enumerate(_nodes(ast.parse(source))):
        for variant, (what, _) in enumerate(_changes(node)):
            seen[node.lineno, what] += 1
            found.append(Mutant(file, node.lineno, place, variant, what, seen[node.lineno, what]))
    return found


def compiled(mutant: Mutant, source: str, path: str) -> CodeType:
    """The mutant's code, as if it stood at `path`."""
    tree = ast.parse(source)
    node = list(_nodes(tree))[mutant.place]
    _, other = list(_changes(node))[mutant.variant]
    tree = _Replace(node, ast.copy_location(other, node)).visit(tree)
    return compile(ast.fix_missing_locations(tree), path, "exec")


class _Replace(ast.NodeTransformer):
    def __init__(self, node: ast.AST, other: ast.AST) -> None:
        self._node, self._other = node, other

    def visit(self, node: ast.AST) -> ast.AST:
        return self._other if node is self._node else super().visit(node)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The statements and expressions below a node that a test may see."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_unseen(child):
                if hasattr(child, "lineno"):
                    yield child
                yield from _nodes(child)


def _is_unseen(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return any(word in ast.unparse(node.test) for word in ("TYPE_CHECKING", "__name__"))
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return docstring or isinstance(node, ast.Import | ast.ImportFrom)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """(what is done, what then stands there) for each mistake that can be made at a node."""
    for make in (_operators, _conditions, _constants, _slices, _statements, _arguments):
        yield from make(node)


def _operators(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in _COMPARED[type(operator)]:
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield _told(operator, other()), _like(node, ops=ops)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _CALCULATED:
        other = _CALCULATED[type(node.op)]()
        yield _told(node.op, other), _like(node, op=other)
    elif isinstance(node, ast.BoolOp):
        other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield _told(node.op, other), _like(node, op=other)
    elif isinstance(node, ast.UnaryOp):
        yield f"{type(node.op).__name__} removed", node.operand


def _conditions(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield "condition negated", _like(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        for place, part in enumerate(node.generators):
            if part.ifs:
                parts = [*node.generators[:place], _like(part, ifs=[]), *node.generators[place + 1 :]]
                yield "condition removed", _like(node, generators=parts)


def _constants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        for other in (node.value + 1, node.value - 1):
            yield f"{node.value} -> {other}", ast.Constant(other)


def _slices(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Slice):
        for bound in ("lower", "upper"):
            if getattr(node, bound):
                yield f"{bound} bound removed", _like(node, **{bound: None})


def _statements(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Return) and not _is_nothing(node.value):
        yield "returns None", ast.Return(ast.Constant(None))
    sets = isinstance(node, ast.Assign) and any(isinstance(to, ast.Attribute | ast.Subscript) for to in node.targets)
    called = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Yield | ast.YieldFrom)
    if sets or called or isinstance(node, _DELETED):
        yield "statement removed", ast.Pass()


def _is_nothing(value: ast.expr | None) -> bool:
    """None, or False, which is as little to whoever asks."""
    return value is None or (isinstance(value, ast.Constant) and (value.value is None or value.value is False))


def _arguments(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Call) and not any(isinstance(argument, ast.Starred) for argument in node.args):
        for place in range(len(node.args) - 1):
            one, other = node.args[place : place + 2]
            if ast.dump(one) != ast.dump(other):
                args = [*node.args[:place], other, one, *node.args[place + 2 :]]
                yield f"arguments {place + 1} and {place + 2} swapped", _like(node, args=args)


def _like(node: ast.AST, **changed: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in changed.items():
        setattr(other, name, value)
    return other


def _told(operator: ast.AST, other: ast.AST) -> str:
    return f"{type(operator).__name__} -> {type(other).__name__}"
