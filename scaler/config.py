"""Reads a scaler's settings from its TOML file, and says what is wrong in it as one would to its author."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..events.errors import SettingsError
from .aws_settings import AwsSettings
from .settings import Budget, Resource, ScalerSettings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def read_config(file: Path) -> ScalerSettings:
    """The settings in a file. Raises `SettingsError` with all that is wrong in it, each with its place."""
    try:
        return ScalerSettings.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}. `tasktape scaler init` writes one.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is no TOML: {error}.") from error
    except ValidationError as error:
        wrong = "; ".join(map(_said, error.errors(include_input=False)))
        raise SettingsError(f"{file} does not describe a scaler: {wrong}. See docs/scaler.md.") from error


def _said(wrong: ErrorDetails) -> str:
    """What is wrong at a place, without what is written there: that may be a secret."""
    place = ".".join(map(str, wrong["loc"]))
    match wrong["type"]:
        case "missing":
            return f"{place} is missing"
        case "extra_forbidden":
            return f"{place}: there is no such setting{_meant(str(wrong['loc'][-1]))}"
        case "value_error":
            return f"{place}: {wrong['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    return f"{place}: {wrong['msg'][:1].lower()}{wrong['msg'][1:]}"


def _meant(name: str) -> str:
    """A setting that is written much the same."""
    known = [field for part in (ScalerSettings, Resource, Budget, AwsSettings) for field in part.model_fields]
    found = get_close_matches(name, known, 1)
    return f", but {found[0]}" if found else ""
