"""Expressions and claims: what they say, what they need, and their values for each seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from benchsuite.errors import RecipeError
from benchsuite.results.arithmetic import FUNCTIONS_OF, OPERATIONS, UndefinedError, Value, rank_correlation
from benchsuite.results.grammar import (
    COMPARISONS,
    LARGEST,
    Call,
    Correlation,
    Node,
    Number,
    Operation,
    Parser,
    Selector,
)
from benchsuite.results.scores import Scores

MIN_METHODS = 4  # below which a rank correlation says next to nothing


@dataclass(frozen=True)
class Expression:
    """Something to compute from scores, for each seed by itself."""

    text: str
    root: Node

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Claim:
    """A chain of comparisons: ``comparisons[i]`` stands between ``sides[i]`` and ``sides[i + 1]``."""

    text: str
    sides: tuple[Expression, ...]
    comparisons: tuple[str, ...]

    def __str__(self) -> str:
        return self.text


def parse_expression(text: str) -> Expression:
    """The expression that ``text`` says. Raises RecipeError: what stands where, and what is allowed.

    >>> parse_expression("psnr[glo] - 2").root
    Operation(symbol='-', left=Selector(metric='psnr', method='glo', dataset=None), right=Number(value=2.0))
    """
    parser = Parser(text)
    expression = _next(parser)
    if parser.next_symbol() in COMPARISONS:
        raise parser.error("a comparison makes a claim, and only a value is wanted here")
    parser.end()
    return expression


def parse_claim(text: str) -> Claim:
    """The chain of comparisons that ``text`` says. Raises RecipeError: what stands where, and what is allowed.

    >>> parse_claim("1 < psnr[glo] - psnr[pca] < 2").comparisons
    ('<', '<')
    """
    parser = Parser(text)
    sides, comparisons = [_next(parser)], []
    while (symbol := parser.next_symbol()) in COMPARISONS:
        comparisons.append(parser.take(symbol))
        sides.append(_next(parser))
    parser.end()
    if not comparisons:
        raise RecipeError(f"'{text}' compares nothing; a claim has one of {' '.join(COMPARISONS)}")
    for left, right in pairwise(sides):
        if is_number(left) and is_number(right):
            raise RecipeError(f"'{left}' and '{right}' in '{text}' are both numbers; a claim compares scores")
    return Claim(" ".join(text.split()), tuple(sides), tuple(comparisons))


def _next(parser: Parser) -> Expression:
    """The expression that comes next; one of numbers only has to have a value."""
    expression = Expression(*parser.expression())
    if is_number(expression):
        try:
            _evaluate(expression.root, _NOWHERE)
        except UndefinedError as error:
            raise RecipeError(f"'{expression}' is no number: {error}") from None
    return expression


def nodes(of: Expression | Claim) -> Iterator[Node]:
    """Every node of an expression, or of all sides of a claim."""
    todo: list[Node] = [side.root for side in reversed(of.sides)] if isinstance(of, Claim) else [of.root]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, Operation):
            todo += [node.right, node.left]
        elif isinstance(node, Call):
            todo += reversed(node.arguments)


def selectors(of: Expression | Claim) -> tuple[Selector, ...]:
    """What it selects, each once."""
    return tuple(dict.fromkeys(node for node in nodes(of) if isinstance(node, Selector)))


def metrics_named_in(of: Expression | Claim) -> tuple[str, ...]:
    """The metrics that it needs, as it names them."""
    found: list[str] = []
    for node in nodes(of):
        found += [node.metric] if isinstance(node, Selector) else []
        found += [node.first, node.second] if isinstance(node, Correlation) else []
    return tuple(dict.fromkeys(found))


def methods_named_in(of: Expression | Claim) -> tuple[str, ...]:
    """The methods that it needs; a correlation goes over all that there are and names none."""
    return tuple(dict.fromkeys(selector.method for selector in selectors(of)))


def datasets_named_in(of: Expression | Claim) -> tuple[str, ...]:
    """The datasets that it names; none where any part of it leaves the dataset open."""
    if any(isinstance(node, Correlation) for node in nodes(of)):
        return ()
    named = [selector.dataset for selector in selectors(of)]
    return () if None in named else tuple(dict.fromkeys(name for name in named if name is not None))


def datasets_used_by(of: Expression | Claim, dataset: str) -> tuple[str, ...]:
    """The datasets that it goes by where parts that leave theirs open go by ``dataset``."""
    names: list[str] = []
    for node in nodes(of):
        if isinstance(node, Selector):
            names.append(dataset if node.dataset is None else node.dataset)
        elif isinstance(node, Correlation):
            names.append(dataset)
    return tuple(dict.fromkeys(names))


def is_number(expression: Expression) -> bool:
    """Whether no score goes into it."""
    return not any(isinstance(node, Selector | Correlation) for node in nodes(expression))


@dataclass(frozen=True)
class Series:
    """An expression's value for each seed, and why there is none for the others.

    ``undefined`` are those of ``missing`` whose scores are all there but do not combine to a finite number. ``scales``
    are the sizes of what was added up to each value, beside which its rounding error is small. ``cautions`` say of
    seeds that have a value what has to be known of the scores it is made of.
    """

    values: Mapping[int, float]
    missing: Mapping[int, str]
    undefined: frozenset[int]
    scales: Mapping[int, float]
    cautions: Mapping[int, tuple[str, ...]]

    @property
    def why_missing(self) -> str:
        """In one sentence why seeds have no value; empty where all have one."""
        return missing_text(self.missing, everything=not self.values)


def missing_text(missing: Mapping[int, str], *, everything: bool) -> str:
    """Seeds joined by their reason; a reason alone where it is that of ``everything``.

    >>> missing_text({1: "diverged", 2: "diverged"}, everything=False)
    'without seeds 1, 2: diverged'
    """
    by_reason: dict[str, list[int]] = {}
    for seed, reason in missing.items():
        by_reason.setdefault(reason, []).append(seed)
    if everything and len(by_reason) == 1:
        return next(iter(by_reason))
    named = [
        f"without seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}: {reason}"
        for reason, seeds in by_reason.items()
    ]
    return "; ".join(named)


def series(expression: Expression, scores: Scores, dataset: str) -> Series:
    """The value of ``expression`` for each seed of ``scores``; selectors without a dataset go by ``dataset``.

    A score that is infinite, a division by zero and a logarithm or root out of range give no value.
    """
    values: dict[int, float] = {}
    missing: dict[int, str] = {}
    scales: dict[int, float] = {}
    cautions: dict[int, tuple[str, ...]] = {}
    undefined = set()
    for seed in scores.seeds:
        place = _Place(scores, dataset, seed)
        try:
            found = _evaluate(expression.root, place)
            values[seed], scales[seed] = found.number, found.scale
            if said := tuple(dict.fromkeys(place.cautions(expression))):
                cautions[seed] = said
        except _MissingError as error:
            missing[seed] = str(error)
        except UndefinedError as error:
            missing[seed] = str(error)
            undefined.add(seed)
    return Series(values, missing, frozenset(undefined), scales, cautions)


class _MissingError(Exception):
    """A score that is not there."""


class _Place(NamedTuple):
    """Where an expression is evaluated."""

    scores: Scores
    dataset: str
    seed: int

    def score(self, metric: str, method: str, dataset: str | None) -> float:
        where = (metric, method, self.dataset if dataset is None else dataset, self.seed)
        value = self.scores.value(*where)
        if math.isnan(value):
            raise _MissingError(self.scores.why_missing(*where))
        return value

    def cautions(self, expression: Expression) -> Iterator[str]:
        for selected in nodes(expression):
            if isinstance(selected, Selector):
                dataset = self.dataset if selected.dataset is None else selected.dataset
                places = [(selected.metric, selected.method, dataset)]
            elif isinstance(selected, Correlation):
                both = (selected.first, selected.second)
                places = [(name, method, self.dataset) for name in both for method in self.scores.methods]
            else:
                continue
            for metric, method, dataset in places:
                if text := self.scores.caution(metric, method, dataset, self.seed):
                    yield f"{method}: {text}"


_NOWHERE = _Place(Scores((), (), ()), "", 0)


def _evaluate(node: Node, place: _Place) -> Value:
    if isinstance(node, Number):
        return Value(node.value, abs(node.value))
    if isinstance(node, Selector):
        score = place.score(node.metric, node.method, node.dataset)
        if abs(score) > LARGEST:
            size = "infinite" if math.isinf(score) else f"beyond {LARGEST:g}"
            raise UndefinedError(f"{node.metric} of {node.method} is {size}")
        return Value(score, abs(score))
    if isinstance(node, Correlation):
        return _correlation(node, place)
    if isinstance(node, Operation):
        found = OPERATIONS[node.symbol](_evaluate(node.left, place), _evaluate(node.right, place))
    else:
        found = FUNCTIONS_OF[node.function]([_evaluate(argument, place) for argument in node.arguments])
    if not (abs(found.number) <= LARGEST and found.scale <= LARGEST):
        raise UndefinedError(f"a number beyond {LARGEST:g}")
    return found


def _correlation(node: Correlation, place: _Place) -> Value:
    """Over the methods that have both scores."""
    pairs, why = [], ""
    for method in place.scores.methods:
        try:
            pairs.append([place.score(name, method, None) for name in (node.first, node.second)])
        except _MissingError as error:
            why = why or f" ({error})"
    if len(pairs) < MIN_METHODS:
        have = f"{len(pairs)} method{'' if len(pairs) == 1 else 's'} with both scores"
        raise _MissingError(f"corr({node.first}, {node.second}) needs {MIN_METHODS} methods; there are {have}{why}")
    return rank_correlation(*zip(*pairs, strict=True))
