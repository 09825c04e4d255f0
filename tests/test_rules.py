"""Rules of the gate: what a TOML file may say, whom it holds for, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchsuite.errors import RulesError
from benchsuite.results.rules import Rules, Tolerance, read_rules, rules_from


def test_a_file_says_tolerances_directions_and_error_rates(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(
        'alarm = 0.05\nscreen = 0.2\nseeds = 3\n[tolerance]\nfd = "5%"\n"fd[features=pixels]" = "7 %"\npsnr = 0.1\n'
        '[smoke_tolerance]\ndefault = "20%"\n[direction]\nrecall = "none"\n[time]\ntolerance = "30%"\n'
    )
    rules = read_rules(path)
    assert (rules.alarm, rules.screen, rules.seeds, rules.time.of(10.0)) == (0.05, 0.2, 3, pytest.approx(3.0))
    assert rules.tolerance_of("psnr", "psnr").of(25.0) == 0.1
    assert rules.tolerance_of("fd[features=pixels]", "fd[features=pixels]").of(-2.0) == pytest.approx(0.14)
    assert rules.tolerance_of("fd[features=random_conv]", "fd[features=random_conv]").of(2.0) == pytest.approx(0.1)
    assert rules.tolerance_of("ssim", "ssim").of(1.0) == 0.001
    assert str(rules.smoke_tolerance_of("ssim", "ssim", "")) == "20%"
    assert rules.direction_of("recall", "recall", "max") == "none" and rules.direction_of("fd", "fd", "min") == "min"


def test_a_column_goes_before_a_selection_and_this_before_a_name() -> None:
    rules = rules_from({"tolerance": {"m.key": 1, "m[k=3]": 2, "m": 3, "default": 4}})
    found = [
        rules.tolerance_of(*names).amount for names in (("m.key", "m[k=3]"), ("m.a", "m[k=3]"), ("m", "m"), ("x", "x"))
    ]
    assert found == [1, 2, 3, 4]


def test_without_a_test_decibels_and_percentages_have_tolerances_of_their_own() -> None:
    assert Rules().smoke_tolerance_of("psnr", "psnr", "dB").of(20.0) == 0.5
    assert Rules().smoke_tolerance_of("fd", "fd", "") == Tolerance(0.1, relative=True, least=1e-9)


MISTAKES: dict[str, tuple[Any, str]] = {
    "a typo": ({"tolerence": {}}, "no rule of the gate named 'tolerence'; did you mean 'tolerance'?"),
    "a chance above one": ({"alarm": 2}, "alarm = 2 is not allowed; a chance is at least 1e-06 and below 0.5"),
    "a chance too small": ({"alarm": 1e-15}, "alarm = 1e-15 is not allowed"),
    "a number too large": ({"tolerance": {"fd": 10**400}}, "is not allowed; give a share"),
    "a chance as text": ({"screen": "0.1"}, "screen = '0.1' is not allowed"),
    "no seeds": ({"seeds": 0}, "seeds = 0 is not allowed; a whole number, at least 1"),
    "a truth for seeds": ({"seeds": True}, "seeds = True is not allowed"),
    "a negative tolerance": ({"tolerance": {"fd": -1}}, "tolerance.fd = -1 is not allowed; give a share, such as '2%'"),
    "text without a percent sign": ({"tolerance": {"fd": "5"}}, "tolerance.fd = '5' is not allowed"),
    "text that is no number": ({"tolerance": {"fd": "much%"}}, "tolerance.fd = 'much%' is not allowed"),
    "a number for a table": (
        {"tolerance": 0.1},
        "tolerance = 0.1 is not allowed; it is a table of metrics: [tolerance]",
    ),
    "an unknown direction": ({"direction": {"fd": "up"}}, "direction.fd = 'up' is not allowed; one of max, min, none"),
    "seconds as an amount": ({"time": {"tolerance": 3}}, "time.tolerance = 3 is not allowed; give a share"),
    "an unknown rule of time": ({"time": {"tol": 3}}, "no rule of time named 'tol'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_with_what_is_allowed(case: str) -> None:
    content, message = MISTAKES[case]
    with pytest.raises(RulesError) as error:
        rules_from(content)
    assert message in str(error.value)


@pytest.mark.parametrize(("text", "message"), [("alarm = ", "is no TOML"), ("alarm = 3", "gate.toml: alarm = 3")])
def test_a_file_that_cannot_be_used_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text(text)
    with pytest.raises(RulesError, match=message):
        read_rules(tmp_path / "gate.toml")
    with pytest.raises(RulesError, match="cannot read the rules"):
        read_rules(tmp_path / "absent.toml")
