"""Hyper-parameters become what their plugin declared, or one error that says what is allowed."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchsuite.errors import ParameterError, UnknownNameError
from benchsuite.harness.registry import load_registry
from benchsuite.parameters import (
    BelowOne,
    Between,
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveInt,
    arguments_of,
    check_fields,
    convert,
    describe,
    is_list_type,
    parameters_of,
)

ANNOTATIONS: list[Any] = [
    int,
    float,
    bool,
    str,
    Count,
    PositiveInt,
    Positive,
    Fraction,
    PositiveInt | None,
    Literal["pca", "gaussian"],
    Literal[1, 2],
    tuple[int, ...],
    tuple[float, float],
    list[str],
    int | Literal["auto"],
]


@dataclasses.dataclass(frozen=True)
class Glo:
    """A method's options, as a plugin writes them."""

    epochs: Count = 30
    latent_dim: PositiveInt | None = None
    learning_rate: Positive = 1e-3
    beta1: Fraction = 0.5
    init: Literal["pca", "gaussian"] = "pca"
    fast: bool = False
    milestones: tuple[int, ...] = ()


def read(annotation: Any, value: Any) -> Any:
    """``value`` as a parameter of this type is read."""
    owner = dataclasses.make_dataclass("Owner", [("value", annotation)])
    return convert("owner", owner, {"value": value})["value"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, "3", 3),
        (int, 3, 3),
        (int, "-3", -3),
        (float, "3", 3.0),
        (float, 3, 3.0),
        (float, "2e-4", 2e-4),
        (bool, "true", True),
        (bool, "false", False),
        (bool, True, True),
        (str, "pca", "pca"),
        (str, "3", "3"),
        (str, "none", "none"),
        (int | None, "none", None),
        (int | None, None, None),
        (int | None, "3", 3),
        (PositiveInt | None, "none", None),
        (Annotated[int | None, Between(1)], "none", None),
        (int | float, "3", 3),
        (int | float, "3.5", 3.5),
        (int | Literal["auto"], "auto", "auto"),
        (int | Literal["auto"], "7", 7),
        (Literal["pca", "gaussian"], "gaussian", "gaussian"),
        (Literal[64, 128], "128", 128),
        (Literal[64, 128], 64, 64),
        (tuple[int, ...], ["1", 2], (1, 2)),
        (tuple[int, ...], "1", (1,)),
        (tuple[int, ...], [], ()),
        (tuple[float, float], ("0.5", "0.999"), (0.5, 0.999)),
        (tuple[int, str], ["1", "a"], (1, "a")),
        (list[float], (1, "2"), [1.0, 2.0]),
        (tuple[Fraction, ...], ["0.1", "1"], (0.1, 1.0)),
        (Any, "as it is", "as it is"),
    ],
)
def test_a_value_becomes_the_type_that_was_declared(annotation: Any, value: Any, expected: Any) -> None:
    found = read(annotation, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "3.0"),
        (int, 3.0),
        (int, ""),
        (int, None),
        pytest.param(int, "9" * 5000, id="int-of 5000 digits"),
        (int, [1]),
        (float, "fast"),
        (float, None),
        pytest.param(float, 10**400, id="float-beyond all floats"),
        (bool, "True"),
        (bool, "1"),
        (bool, 1),
        (bool, 0.0),
        (str, 3),
        (str, None),
        (int | None, "nothing"),
        (Literal["pca", "gaussian"], "pcs"),
        (Literal["pca", "gaussian"], None),
        (tuple[int, ...], ["1", "b"]),
        (tuple[float, float], ["0.5"]),
        (tuple[float, float], [1, 2, 3]),
        (tuple[Fraction, ...], [0.5, 1.5]),
    ],
)
def test_a_value_of_another_type_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(ParameterError, match="is not allowed"):
        read(annotation, value)


@pytest.mark.parametrize("annotation", [int, float, Count, Positive, int | None, int | float, tuple[int, ...]])
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_not_numbers(annotation: Any, value: bool) -> None:
    with pytest.raises(ParameterError):
        read(annotation, value)


@pytest.mark.parametrize(("annotation", "value"), [(Literal[1, 2], True), (Literal[True], 1), (Literal[1], 1.0)])
def test_a_choice_is_not_taken_for_an_equal_one_of_another_type(annotation: Any, value: Any) -> None:
    with pytest.raises(ParameterError):
        read(annotation, value)


@pytest.mark.parametrize("annotation", [float, Positive, Fraction, float | None, tuple[float, ...], list[float]])
@pytest.mark.parametrize("value", ["nan", "-NaN", math.nan])
def test_nan_is_no_number(annotation: Any, value: Any) -> None:
    with pytest.raises(ParameterError):
        read(annotation, value)


@pytest.mark.parametrize(
    ("annotation", "inside", "outside"),
    [
        (Count, [0, 1], [-1]),
        (PositiveInt, [1], [0, -1]),
        (Positive, [5e-324, 1e300], [0, -0.0, -1e-9]),
        (NonNegative, [0, 0.5], [-5e-324]),
        (Fraction, [0, 0.5, 1], [-1e-12, 1 + 1e-12]),
        (Annotated[float, Between(float("-inf"), 0)], [-1e300, 0], [1e-12]),
        (Annotated[int, Between(0), Between(-5, 3)], [0, 3], [-1, 4]),
    ],
)
def test_both_ends_of_a_range_are_where_it_says(annotation: Any, inside: list[Any], outside: list[Any]) -> None:
    for value in inside:
        assert read(annotation, value) == value == read(annotation, str(value))
    for value in outside:
        with pytest.raises(ParameterError):
            read(annotation, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", -1, "glo: epochs=-1 is not allowed; epochs is a whole number, at least 0"),
        ("epochs", "ten", "glo: epochs='ten' is not allowed; epochs is a whole number, at least 0"),
        (
            "latent_dim",
            0,
            "glo: latent_dim=0 is not allowed; latent_dim is a whole number, at least 1, or none",
        ),
        ("beta1", 1.5, "glo: beta1=1.5 is not allowed; beta1 is a number, at least 0 and at most 1"),
        ("init", "pcs", "glo: init='pcs' is not allowed; init is one of pca, gaussian"),
        ("fast", "yes", "glo: fast='yes' is not allowed; fast is true or false"),
    ],
)
def test_an_error_says_what_was_given_and_what_is_allowed(name: str, value: Any, message: str) -> None:
    with pytest.raises(ParameterError) as raised:
        convert("glo", Glo, {name: value})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "hint"), [("epoch", "; did you mean 'epochs'?"), ("latent", "; did you mean 'latent_dim'?"), ("zz", ";")]
)
def test_an_unknown_name_gets_the_nearest_known_one(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as raised:
        convert("glo", Glo, {name: 1})
    known = "beta1, epochs, fast, init, latent_dim, learning_rate, milestones"
    assert str(raised.value) == f"no glo parameter named '{name}'{hint} known: {known}"


def test_an_owner_without_parameters_says_so() -> None:
    with pytest.raises(UnknownNameError) as raised:
        convert("pca", dataclasses.make_dataclass("Pca", []), {"epochs": 1})
    assert str(raised.value) == "no pca parameter named 'epochs'; known: none"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number, or none"),
        (None | float, "a number, or none"),
        (Count, "a whole number, at least 0"),
        (Positive, "a number, above 0"),
        (Fraction, "a number, at least 0 and at most 1"),
        (Literal["a", "b"] | None, "one of a, b, or none"),
        (tuple[int, ...], "a list, each a whole number"),
        (list[Fraction], "a list, each a number, at least 0 and at most 1"),
    ],
)
def test_a_type_reads_as_english(annotation: Any, words: str) -> None:
    assert describe(annotation) == words


def test_an_upper_limit_alone_is_described_too() -> None:
    assert "0.5" in describe(Annotated[float, Between(float("-inf"), 0.5)])


def test_a_list_of_fixed_length_says_its_length() -> None:
    with pytest.raises(ParameterError, match="2"):
        read(tuple[float, float], [0.1, 0.1, 0.1])


def test_parameters_are_what_a_dataclass_is_made_with() -> None:
    @dataclasses.dataclass
    class Owner:
        size: int
        betas: tuple[float, ...] = dataclasses.field(default_factory=lambda: (0.5,))
        derived: int = dataclasses.field(init=False, default=3)

    found = parameters_of(Owner)
    assert list(found) == ["size", "betas"]
    assert found["size"].default is dataclasses.MISSING
    assert found["betas"].default == (0.5,)


def test_parameters_of_a_function_are_its_keyword_only_arguments() -> None:
    def metric(real: str, generated: str, *, k: PositiveInt = 5, features: str | None = None) -> float:
        return 0.0

    found = parameters_of(metric)
    assert {name: p.default for name, p in found.items()} == {"k": 5, "features": None}
    assert found["k"].annotation == PositiveInt
    assert convert("prdc", metric, {"k": "3", "features": "none"}) == {"k": 3, "features": None}


def test_a_missing_default_is_marked_alike_for_functions_and_dataclasses() -> None:
    def metric(real: str, *, k: int) -> float:
        return 0.0

    assert parameters_of(metric)["k"].default is dataclasses.MISSING


def test_a_class_that_is_no_dataclass_has_no_parameters() -> None:
    assert parameters_of(type("Plain", (), {"__annotations__": {"size": int}})) == {}


def test_only_lists_take_several_values_at_once() -> None:
    lists = [annotation for annotation in ANNOTATIONS if is_list_type(annotation)]
    assert lists == [tuple[int, ...], tuple[float, float], list[str]]
    assert is_list_type(Annotated[tuple[int, ...] | None, Between(0)])


@pytest.mark.parametrize(
    "given", [{}, {"epochs": 0, "latent_dim": 3}, {"learning_rate": 1, "milestones": (1, 2)}, {"init": "gaussian"}]
)
def test_fields_of_their_declared_types_pass(given: dict[str, Any]) -> None:
    check_fields("glo", Glo(**given))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", -1),
        ("epochs", "30"),
        ("beta1", 2.0),
        ("learning_rate", math.nan),
        ("learning_rate", "1e-3"),
        ("init", "pcs"),
        ("fast", 1),
        ("fast", "false"),
        ("latent_dim", "none"),
        ("milestones", 3),
        ("milestones", ("1",)),
    ],
)
def test_a_field_of_another_type_or_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterError):
        check_fields("glo", Glo(**{name: value}))


@given(st.integers())
@settings(deadline=None)
def test_every_whole_number_reads_back_from_its_text(number: int) -> None:
    assert read(int, str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_every_number_reads_back_from_its_text(number: float) -> None:
    assert read(float, repr(number)) == number


@given(st.lists(st.integers()))
@settings(deadline=None)
def test_every_list_of_numbers_reads_back_from_its_texts(numbers: list[int]) -> None:
    assert read(tuple[int, ...], [str(n) for n in numbers]) == tuple(numbers)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=3)
anything = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=2), scalars, max_size=2)


@given(st.sampled_from(ANNOTATIONS), anything)
@settings(deadline=None)
def test_any_value_is_converted_or_refused_and_conversion_settles(annotation: Any, value: Any) -> None:
    try:
        converted = read(annotation, value)
    except ParameterError as error:
        assert "value=" in str(error)
        return
    assert read(annotation, converted) == converted


def test_a_range_may_leave_its_upper_end_out() -> None:
    assert read(BelowOne, "0.999") == 0.999
    with pytest.raises(ParameterError, match="at least 0 and below 1"):
        read(BelowOne, "1")


class Preset(Glo):
    """The same with named sets of values."""

    presets = {"paper": {"epochs": 60, "init": "gaussian"}}


def test_a_preset_stands_for_its_values_and_what_is_given_wins() -> None:
    assert convert("glo", Preset, {"preset": "paper"}) == {"epochs": 60, "init": "gaussian"}
    assert convert("glo", Preset, {"epochs": "3", "preset": "paper"}) == {"epochs": 3, "init": "gaussian"}
    with pytest.raises(UnknownNameError, match="no glo preset named 'papre'; did you mean 'paper'"):
        convert("glo", Preset, {"preset": "papre"})
    with pytest.raises(UnknownNameError, match="no glo parameter named 'preset'"):
        convert("glo", Glo, {"preset": "paper"})


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_every_preset_of_every_plugin_can_be_made(kind: str) -> None:
    registry = load_registry()
    for cls in (registry.get(kind, name) for name in registry.names(kind)):
        for name in cls.presets:
            assert cls.preset(name) != cls()


@dataclasses.dataclass(frozen=True)
class Walk:
    """Parameters that functions share."""

    steps: PositiveInt = 3
    stride: Positive | None = None

    def __post_init__(self) -> None:
        if self.steps == 1 and self.stride is not None:
            raise ParameterError("one step has no stride")


WALK = Walk()


def score(model: object, *, images: PositiveInt = 8, walk: Walk = WALK) -> float:
    """A metric with a parameter of its own and shared ones."""
    return 0.0


def test_a_dataclass_stands_for_its_fields_and_is_put_together_again() -> None:
    declared = parameters_of(score)
    assert {name: parameter.default for name, parameter in declared.items()} == {
        "images": 8,
        "steps": 3,
        "stride": None,
    }
    values = convert("score", score, {"steps": "5", "stride": "0.5"})
    assert values == {"steps": 5, "stride": 0.5}
    assert arguments_of(score, {"images": 2, **values}) == {"images": 2, "walk": Walk(5, 0.5)}
    with pytest.raises(ParameterError, match="one step has no stride"):
        arguments_of(score, {"images": 2, "steps": 1, "stride": 0.5})
    with pytest.raises(ParameterError, match="steps='0' is not allowed"):
        convert("score", score, {"steps": "0"})
    with pytest.raises(UnknownNameError, match="walk"):
        convert("score", score, {"walk": "5"})
