"""The docs name all there is: every setting, every page linked exists."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from tasktape.events.settings import Settings
from tasktape.scaler.aws_settings import AwsSettings
from tasktape.scaler.settings import Budget, Resource, ScalerSettings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def described_in(page: str) -> set[str]:
    """Settings in the first columns of a page's tables."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    rows = [row.split("|")[1] for row in lines if row.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_setting_of_a_scaler_is_described() -> None:
    parts: list[type[BaseModel]] = [ScalerSettings, Resource, Budget]
    assert {name for part in parts for name in part.model_fields} - described_in("scaler.md") <= {"aws"}
    assert AwsSettings.model_fields.keys() - described_in("scaler-aws.md") == set()


def settings_in(page: str) -> ScalerSettings:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return ScalerSettings.model_validate(tomllib.loads(block))


def test_the_scalers_settings_in_the_docs_are_such() -> None:
    assert settings_in("scaler.md").queues_of("cpu") == ["train", "test"]
    assert settings_in("scaler-aws.md").aws.settings["kafka"] == {"sasl.password": "ssm:/ml/kafka"}


def test_the_policies_in_the_docs_are_json() -> None:
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "scaler-aws.md").read_text(), re.DOTALL)
    assert [json.loads(block)["Version"] for block in blocks] == ["2012-10-17"] * 2
