"""`make model` looks at everything: at all rules, each of them left out of a product that holds with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasktape.tests.model.check import DEATHS, FOLDER, OMISSIONS, PRODUCTS, Check, SpinMissingError, Verdict, checks


def test_every_rule_is_left_out_once_and_from_a_product_that_holds_with_it() -> None:
    rules = re.findall(r"^#ifdef WITHOUT_(\w+)$", (FOLDER / "rules.pml").read_text(), re.MULTILINE)
    assert [omission.rule for omission in OMISSIONS] == rules
    assert {omission.product for omission in OMISSIONS} <= set(PRODUCTS)
    assert {check.without for check in checks(PRODUCTS)} == {"", *rules}


@pytest.mark.parametrize(
    ("expected", "violated", "complete", "passed"),
    [
        ("", "", True, True),
        ("", "", False, False),
        ("", "NOT_STUCK", False, False),
        ("NOT_STUCK", "NOT_STUCK", False, True),
        ("NOT_STUCK", "NO_THEFT", False, False),
        ("NOT_STUCK", "", True, False),
    ],
)
def test_a_check_passes_only_with_what_it_has_to_find(
    expected: str, violated: str, complete: bool, passed: bool
) -> None:
    verdict = Verdict(violated, complete, 1, 1.0, 1.0)
    assert Check(DEATHS, expected=expected).is_passed(verdict) == passed


def test_without_spin_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpinMissingError, match="apt-get install spin gcc"):
        Check(DEATHS).run()
