"""The grammar of what claims and published values are computed by: parsed here, never evaluated as Python.

expression = term {("+" | "-") term}            claim = expression comparison expression {comparison expression}
term       = factor {("*" | "/") factor}        comparison = "<" | "<=" | ">" | ">="
factor     = "-" factor | number | "(" expression ")" | function "(" expression {"," expression} ")"
           | metric "[" method ["," dataset] "]" | "corr" "(" metric "," metric ")"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchsuite.errors import RecipeError

COMPARISONS = ("<", "<=", ">", ">=")
FUNCTIONS = {"abs": 1, "log": 1, "log10": 1, "sqrt": 1, "min": 2, "max": 2, "mean": 2}  # the least number of arguments
_SEVERAL = ("min", "max", "mean")
_MOST_CHARACTERS, _DEEPEST = 500, 20
LARGEST = 1e100  # beyond which the sums of squares of statistics overflow
_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_=+-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9_.+-]+")
_SYMBOL = re.compile(r"<=|>=|[-+*/()<>,\[\]]")
_ALLOWED = "a number, metric[method], metric[method, dataset], corr(metric, metric), brackets or one of " + ", ".join(
    FUNCTIONS
)


@dataclass(frozen=True)
class Number:
    """A number as it stands."""

    value: float


@dataclass(frozen=True)
class Selector:
    """A metric of a method; None for ``dataset`` is the one that a claim is judged on."""

    metric: str
    method: str
    dataset: str | None = None


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of two metrics over methods."""

    first: str
    second: str


@dataclass(frozen=True)
class Operation:
    """``left`` and ``right`` under one of + - * /."""

    symbol: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Call:
    """A function of FUNCTIONS, or ``negative``, of ``arguments``."""

    function: str
    arguments: tuple[Node, ...]


Node = Number | Selector | Correlation | Operation | Call


class Parser:
    """A recursive descent over ``text`` by positions, so that every error can say where."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
            raise RecipeError(
                f"{str(text)[:40]!r}... is no expression; it is text of at most {_MOST_CHARACTERS} characters"
            )
        self._text, self._at, self._depth = text, 0, 0

    def expression(self) -> tuple[str, Node]:
        """The expression that comes next: its text and what it says."""
        self._skip()
        start = self._at
        root = self._sum()
        return " ".join(self._text[start : self._at].split()), root

    def next_symbol(self) -> str:
        """The symbol that comes next, empty where it is something else."""
        self._skip()
        match = _SYMBOL.match(self._text, self._at)
        return match[0] if match else ""

    def take(self, symbol: str) -> str:
        """Pass over ``symbol``. Raises RecipeError where something else comes next."""
        if self.next_symbol() != symbol:
            raise self.error(f"'{symbol}' is missing")
        self._at += len(symbol)
        return symbol

    def end(self) -> None:
        """Raises RecipeError where there is more."""
        self._skip()
        if self._at < len(self._text):
            equality = self._text[self._at] in "=!"
            raise self.error(
                "equality is no claim; give a margin: -1 < a - b < 1"
                if equality
                else f"after a value comes one of + - * / {' '.join(COMPARISONS)} or the end"
            )

    def error(self, why: str) -> RecipeError:
        """What comes next, where, and ``why`` it is not allowed."""
        self._skip()
        rest = self._text[self._at : self._at + 20]
        where = f"at '{rest}', character {self._at + 1}" if rest else "at its end"
        return RecipeError(f"'{self._text}' does not parse {where}: {why}")

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _sum(self) -> Node:
        node = self._product()
        while (symbol := self.next_symbol()) in ("+", "-"):
            node = Operation(self.take(symbol), node, self._product())
        return node

    def _product(self) -> Node:
        node = self._factor()
        while (symbol := self.next_symbol()) in ("*", "/"):
            node = Operation(self.take(symbol), node, self._factor())
        return node

    def _factor(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self.error(f"brackets and signs are nested more than {_DEEPEST} deep")
        try:
            return self._inside()
        finally:
            self._depth -= 1

    def _inside(self) -> Node:
        symbol = self.next_symbol()
        if symbol == "-":
            self.take("-")
            return Call("negative", (self._factor(),))
        if symbol == "(":
            self.take("(")
            node = self._sum()
            self.take(")")
            return node
        if (number := self._match(_NUMBER)) is not None:
            if float(number) > LARGEST:
                self._at -= len(number)
                raise self.error(f"{number} is too large; a number is at most {LARGEST:g}")
            return Number(float(number))
        if (name := self._match(_METRIC)) is not None:
            return self._named(name)
        raise self.error(f"here stands {_ALLOWED}")

    def _named(self, name: str) -> Node:
        if self.next_symbol() == "[":
            return self._selector(name)
        if self.next_symbol() == "(" and name == "corr":
            self.take("(")
            first = self._expect(_METRIC, "corr takes two metrics: corr(pag, fd)")
            self.take(",")
            second = self._expect(_METRIC, "corr takes two metrics: corr(pag, fd)")
            self.take(")")
            return Correlation(first, second)
        if self.next_symbol() == "(" and name in FUNCTIONS:
            return self._call(name)
        if self.next_symbol() == "(":
            raise self.error(f"no function '{name}'; there are {', '.join(FUNCTIONS)} and corr")
        raise self.error(f"'{name}' says no method; write {name}[method] or {name}[method, dataset]")

    def _selector(self, metric: str) -> Selector:
        self.take("[")
        labels = "inside [ ] stand the labels of a method and perhaps of a dataset, of letters, digits and . _ + -; "
        labels += "a metric with parameters goes by a short name from [names]"
        method, dataset = self._expect(_LABEL, labels), None
        if self.next_symbol() == ",":
            self.take(",")
            dataset = self._expect(_LABEL, labels)
        if self.next_symbol() != "]":
            raise self.error(labels)
        self.take("]")
        return Selector(metric, method, dataset)

    def _call(self, name: str) -> Call:
        self.take("(")
        arguments = [self._sum()]
        while self.next_symbol() == ",":
            self.take(",")
            arguments.append(self._sum())
        self.take(")")
        if len(arguments) < FUNCTIONS[name] or (len(arguments) > 1 and name not in _SEVERAL):
            takes = f"two values or more, of one seed; it got {len(arguments)}" if name in _SEVERAL else "one value"
            raise self.error(f"{name} takes {takes}")
        return Call(name, tuple(arguments))

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        self._skip()
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0]

    def _expect(self, pattern: re.Pattern[str], why: str) -> str:
        found = self._match(pattern)
        if found is None:
            raise self.error(why)
        return found
