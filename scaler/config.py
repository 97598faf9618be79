"""Reads a scaler's settings from its TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from ..events.errors import SettingsError
from .settings import ScalerSettings


def read_config(file: Path) -> ScalerSettings:
    """The settings in a file. Raises `SettingsError` with all that is wrong in it, each with its place."""
    try:
        return ScalerSettings.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}. `tasktape scaler init` writes one.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is no TOML: {error}.") from error
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors()]
        raise SettingsError(f"{file} does not describe a scaler: {'; '.join(wrong)}.") from error
