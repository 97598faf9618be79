"""The protocol of claims, moves and losses holds in its model, and each of its rules is needed there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tasktape.tests.model.check import (
    ENDLESS,
    FOLDER,
    OMISSIONS,
    PRODUCTS,
    Omission,
    Product,
    SpinMissingError,
    Verdict,
    verify,
)

pytestmark = pytest.mark.timeout(900)


def checked(product: Product, folder: Path, *, without: str = "", endless: bool = False) -> Verdict:
    try:
        return verify(product, folder, without=without, endless=endless)
    except SpinMissingError as error:
        if os.environ.get("TASKTAPE_REQUIRE_SPIN") == "1":
            pytest.fail(f"required, but not to be had: {error}")
        pytest.skip(str(error))


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_no_order_of_events_and_faults_starts_a_run_twice_or_forgets_one(product: Product, tmp_path: Path) -> None:
    verdict = checked(product, tmp_path)
    assert verdict.holds, verdict
    assert verdict.megabytes < 2000


@pytest.mark.parametrize("product", ENDLESS, ids=lambda product: product.name)
def test_all_comes_to_an_end_once_nothing_fails_any_more(product: Product, tmp_path: Path) -> None:
    verdict = checked(product, tmp_path, endless=True)
    assert verdict.holds, verdict


@pytest.mark.parametrize("omission", OMISSIONS, ids=lambda omission: omission.rule)
def test_without_a_rule_something_is_violated(omission: Omission, tmp_path: Path) -> None:
    assert checked(omission.product, tmp_path, without=omission.rule).violated == omission.violates


def test_every_rule_is_left_out_once_and_from_a_product_that_holds_with_it() -> None:
    rules = re.findall(r"^#ifdef WITHOUT_(\w+)$", (FOLDER / "rules.pml").read_text(), re.MULTILINE)
    assert [omission.rule for omission in OMISSIONS] == rules
    assert {omission.product for omission in OMISSIONS} <= set(PRODUCTS)
