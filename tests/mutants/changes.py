"""Every change of one place in a module, one after the other, made in its syntax tree and taken back.

Left out, since no rule hangs on it: annotations, decorators (ours are caches and kinds of methods), heads of classes,
``__slots__``, ``__repr__``, calls of a log, types given to ``cast``, the words of what is raised, and sentences: any
text with words and blanks is for people. Nor what a client is told of how long to wait and how much to carry at a time.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
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
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMES = {"min": "max", "any": "all", "floor": "ceil", "earliest": "latest", "sorted": "list"}
_NAMES |= {after: before for before, after in _NAMES.items() if after != "list"}
_LEFT_OUT = {"annotation", "returns", "decorator_list", "bases", "keywords of a class", "type_ignores", "ctx"}
_SENTENCE = re.compile(r"\w[,;:]? +\w")
_HOW_LONG_AND_MUCH = {"timeout", "request_timeout", "fetch_wait_max_ms", "linger_ms"}
_HOW_LONG_AND_MUCH |= {"queued_max_messages_kbytes", "queue_buffering_max_messages"}
_WHERE_TUPLES_ARE_LISTS = (ast.Compare, ast.Lambda, ast.For, ast.comprehension, ast.Assign, ast.AnnAssign)


class Change(NamedTuple):
    """What is changed, in words. The tree is changed as long as it is the latest that was handed out."""

    scope: str
    """The function or class around it."""
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.line} {self.scope}: {self.before}  →  {self.after}"


def changes(tree: ast.Module, code_in_texts: bool = False) -> Iterator[Change]:
    """Change the tree in one place after the other. With ``code_in_texts``, sentences may be code too."""
    return _Changer(code_in_texts).within(tree, "", tree)


class _Changer:
    def __init__(self, code_in_texts: bool) -> None:
        self._code_in_texts = code_in_texts
        self._members: dict[str, list[str]] = {}
        """Members of enumerations, as they are named in the module."""

    def within(self, node: ast.AST, scope: str, shown: ast.AST, raised: bool = False) -> Iterator[Change]:
        if isinstance(node, ast.Module):
            self._members = _members(node)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            scope = f"{scope}.{node.name}" if scope else node.name
        for name, value in ast.iter_fields(node):
            if name in _LEFT_OUT or (isinstance(node, ast.ClassDef) and name == "keywords"):
                continue
            places: list[Any] = value if isinstance(value, list) else [value]
            for at, child in enumerate(places):
                if not isinstance(child, ast.AST) or _is_left_alone(child) or _is_type(node, name, at):
                    continue
                around = _around(child, node, shown)
                for new in self._instead_of(child, node, raised):
                    yield from _one(node, name, at, new, Change(scope, _line(child, node), "", ""), around)
                yield from self.within(child, scope, around, raised or isinstance(child, ast.Raise))

    def _instead_of(self, node: ast.AST, parent: ast.AST, raised: bool) -> Iterator[ast.AST | None]:
        """What may stand in a node's place. None leaves an item of a list out."""
        if isinstance(node, ast.stmt):
            yield from _statements(node, isinstance(parent, ast.FunctionDef) and parent.name == "__init__")
        elif isinstance(node, ast.Constant):
            words = isinstance(node.value, str) and (raised or self._is_sentence(parent))
            if not words:
                yield from self._constants(node.value)
        elif isinstance(node, ast.keyword):
            if node.arg is not None:
                yield None
        elif isinstance(node, ast.match_case):
            if isinstance(parent, ast.Match) and len(parent.cases) > 1:
                yield None
        elif isinstance(node, ast.ExceptHandler):
            if not isinstance(node.body[0], ast.Raise):
                yield _with(node, body=[ast.Raise()])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            members = self._members.get(node.value.id, [])
            if node.attr in members and len(members) > 1:
                yield _with(node, attr=members[(members.index(node.attr) + 1) % len(members)])
        elif isinstance(node, ast.expr):
            yield from _expressions(node, parent)
        if isinstance(node, ast.expr) and _is_condition(node, parent):
            if not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):  # these are turned themselves
                yield ast.UnaryOp(ast.Not(), node)
            if isinstance(parent, ast.comprehension):
                yield None

    def _is_sentence(self, node: ast.AST) -> bool:
        """Whether it is a text with values in it that is a sentence as a whole."""
        if self._code_in_texts or not isinstance(node, ast.JoinedStr):
            return False
        return bool(
            _SENTENCE.search("".join(str(v.value) if isinstance(v, ast.Constant) else "_x" for v in node.values))
        )

    def _constants(self, value: Any) -> Iterator[ast.AST]:
        match value:
            case bool():
                yield ast.Constant(not value)
            case int() | float():
                yield ast.Constant(value + 1)
            case str() if self._code_in_texts or not _SENTENCE.search(value):
                yield ast.Constant("" if value else "x")
            case bytes():
                yield ast.Constant(b"" if value else b"x")


def _statements(node: ast.stmt, beginning: bool) -> Iterator[ast.AST]:
    match node:
        case ast.Expr(ast.Call() | ast.Await()) | ast.Raise() | ast.Assert() | ast.Break() | ast.Continue():
            yield ast.Pass()
        case ast.Assign([ast.Attribute() | ast.Subscript()]) if not beginning:
            yield ast.Pass()
        case ast.AugAssign():
            yield ast.Pass()
            if type(node.op) in _ARITHMETIC:
                yield _with(node, op=_ARITHMETIC[type(node.op)]())
        case ast.Return(ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))


def _expressions(node: ast.expr, parent: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            for at, operator in enumerate(node.ops):
                for other in _COMPARISONS[type(operator)]:
                    yield _with(node, ops=_replaced(node.ops, at, other()))
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for at in range(len(node.values)):
                rest = _replaced(node.values, at, None)
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield operand
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(node.op)]())
        case ast.Call():
            yield from _calls(node)
        case ast.Dict():
            for at in range(len(node.keys)):
                yield _with(node, keys=_replaced(node.keys, at, None), values=_replaced(node.values, at, None))
        case ast.Set(elts) | ast.List(elts):
            for at in range(len(elts)):
                yield _with(node, elts=_replaced(elts, at, None))
        case ast.Tuple(elts, ast.Load()) if len(elts) > 1 and isinstance(parent, _WHERE_TUPLES_ARE_LISTS):
            for at in range(len(elts)):
                yield _with(node, elts=_replaced(elts, at, None))
        case ast.Slice(lower, upper):
            if lower is not None:
                yield _with(node, lower=None)
            if upper is not None:
                yield _with(node, upper=None)


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    symmetric = isinstance(node.func, ast.Name) and node.func.id in ("min", "max")
    for at in range(0 if symmetric else len(node.args) - 1):
        pair = node.args[at : at + 2]
        if not any(isinstance(each, ast.Starred) for each in pair) and ast.dump(pair[0]) != ast.dump(pair[1]):
            yield _with(node, args=[*node.args[:at], *reversed(pair), *node.args[at + 2 :]])
    match node.func:
        case ast.Name(name) if name in _NAMES:
            yield _with(node, func=ast.Name(_NAMES[name], ast.Load()))
        case ast.Attribute(value, name) if name in _NAMES:
            yield _with(node, func=ast.Attribute(value, _NAMES[name], ast.Load()))


def _members(tree: ast.Module) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name(owner), member) if owner[0].isupper() and member.isupper():
                others = found.setdefault(owner, [])
                if member not in others:
                    others.append(member)
    return found


def _around(node: ast.AST, parent: ast.AST, shown: ast.AST) -> ast.AST:
    """The part of the source by which a change of a node is shown: a number alone would say nothing."""
    if isinstance(parent, ast.keyword):
        return parent if isinstance(node, ast.Constant | ast.Attribute) else node
    if isinstance(node, ast.Constant | ast.Attribute | ast.Slice) and not isinstance(shown, ast.Module):
        return shown
    return node


def _is_condition(node: ast.expr, parent: ast.AST) -> bool:
    """Whether it decides something by itself."""
    decides = isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert) and parent.test is node
    return decides or (isinstance(parent, ast.comprehension) and node in parent.ifs)


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Constant()):
            return True
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("_log")))):
            return True
        case ast.FunctionDef(name="__repr__"):
            return True
        case ast.keyword(arg=str(name)) if name in _HOW_LONG_AND_MUCH:
            return True
        case ast.Assign([ast.Name("__slots__" | "__all__" | "_log")]):
            return True
    return False


def _is_type(parent: ast.AST, field: str, at: int) -> bool:
    match parent:
        case ast.Call(ast.Name("cast")):
            return field == "args" and at == 0
        case ast.Call(ast.Name("TypeVar")):
            return True
    return False


def _one(parent: ast.AST, name: str, at: int, new: ast.AST | None, what: Change, shown: ast.AST) -> Iterator[Change]:
    """Hand one change out, and take it back."""
    value = getattr(parent, name)
    replaced = _replaced(value, at, new) if isinstance(value, list) else new
    before = value[at] if isinstance(value, list) else value
    old = _text(shown)
    if new is not None and isinstance(before, ast.expr | ast.stmt):
        ast.copy_location(new, before)
    setattr(parent, name, replaced)
    try:
        ast.fix_missing_locations(parent)
        after = _text(shown) if shown is not before else "nothing" if new is None else _text(new)
        yield what._replace(before=old, after=after)
    finally:
        setattr(parent, name, value)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.match_case):
        return f"case {ast.unparse(node.pattern)}"
    if isinstance(node, ast.ExceptHandler):
        return f"except {ast.unparse(node.type) if node.type else ''}: {ast.unparse(node.body[0])}"
    return ast.unparse(node).partition("\n")[0]


def _line(node: ast.AST, parent: ast.AST) -> int:
    return getattr(node, "lineno", None) or getattr(parent, "lineno", 0)


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _replaced(items: list[Any], at: int, new: Any) -> list[Any]:
    return [*items[:at], *([] if new is None else [new]), *items[at + 1 :]]
