"""The docs name all there is: every setting, every page linked exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from tasktape.events.settings import Settings
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


def test_every_setting_of_a_scaler_is_described() -> None:
    rows = [
        row.split("|")[1] for row in (ROOT / "docs" / "scaler.md").read_text().splitlines() if row.startswith("| `")
    ]
    described = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    parts: list[type[BaseModel]] = [ScalerSettings, Resource, Budget]
    assert {name for part in parts for name in part.model_fields} - described == set()


def test_the_scalers_settings_in_the_docs_are_such() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "scaler.md").read_text(), re.DOTALL)
    assert ScalerSettings.model_validate(tomllib.loads(block)).queues_of("cpu") == ["train", "test"]
