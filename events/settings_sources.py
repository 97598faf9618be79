"""Where settings come from: `TASKTAPE_*` variables, then a `tasktape.toml`, then defaults that need no set-up at all.

The file is the one `TASKTAPE_CONFIG` names, else `./tasktape.toml`, else `$TASKTAPE_HOME/tasktape.toml`.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from .errors import SettingsError
from .settings import PREFIX, GitHost, Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

FILE_NAME: Final = "tasktape.toml"
_KAFKA_PREFIX: Final = PREFIX + "KAFKA_"
_GIT_PREFIX: Final = PREFIX + "GIT_"


class _Sources(Settings, BaseSettings):
    """The settings as they are read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  a signature of pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of sources: what the caller gives, the environment, the file."""
        kafka, git = _KafkaVariables(settings_cls), _GitVariables(settings_cls)
        return init_settings, kafka, git, env_settings, _File(settings_cls)


class _KafkaVariables(PydanticBaseSettingsSource):
    """`TASKTAPE_KAFKA_SASL_PASSWORD` gives the property `sasl.password`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        names = [name for name in os.environ if name.startswith(_KAFKA_PREFIX)]
        found = {name.removeprefix(_KAFKA_PREFIX).lower().replace("_", "."): os.environ[name] for name in names}
        return {"kafka": found} if found else {}


class _GitVariables(PydanticBaseSettingsSource):
    """`TASKTAPE_GIT_HOST` with `_USER`, `_TOKEN` and `_SSH_KEY` is a line of the table `git`.

    The host must be named: what opens one is never shown to another that a task happens to name.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        given = {name: os.environ.get(f"{_GIT_PREFIX}{name.upper()}") for name in GitHost.model_fields}
        found = {name: value for name, value in given.items() if value}
        host = os.environ.get(_GIT_PREFIX + "HOST")
        if found and not host:
            raise SettingsError(
                f"{_GIT_PREFIX}{min(found).upper()} is set: name the host it is for in TASKTAPE_GIT_HOST."
            )
        return {"git": {host: found}} if host else {}


class _File(PydanticBaseSettingsSource):
    """The settings file, if there is one."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = settings_file()
        return {} if path is None else _read(path, set(self.settings_cls.model_fields))


def settings_file() -> Path | None:
    """The settings file in force. Raises `SettingsError` where `TASKTAPE_CONFIG` names none."""
    if named := os.environ.get(PREFIX + "CONFIG"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise SettingsError(f"TASKTAPE_CONFIG names {path}, which is no file.")
        return path
    home = Path(os.environ.get(PREFIX + "HOME") or "~/.tasktape").expanduser()
    return next((path for path in (Path(FILE_NAME).absolute(), home / FILE_NAME) if path.is_file()), None)


def _read(path: Path, known: set[str]) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from error
    if unknown := sorted(values.keys() - known):
        raise SettingsError(f"{path}: unknown key {unknown[0]!r}. Known are {', '.join(sorted(known))}.")
    return values


def read_settings(**given: Any) -> Settings:
    """Read the settings; what is given wins. Raises `SettingsError`, which names the key, as `load_settings` does."""
    try:
        found = _Sources(**given)
    except ValidationError as error:
        wrong = [found for found in error.errors() if found["type"] != "default_factory_not_called"]
        raise SettingsError("; ".join(f"{_origin(found['loc'])}: {found['msg']}" for found in wrong)) from None
    except SourceError as error:
        raise SettingsError(str(error)) from None
    except (OSError, RuntimeError) as error:
        raise SettingsError(f"the settings can't be read: {error}. Set TASKTAPE_HOME to a folder of yours.") from error
    return Settings.model_construct(**{name: getattr(found, name) for name in Settings.model_fields})


def _origin(location: tuple[int | str, ...]) -> str:
    """Where the setting comes from: a variable, or a key of the file."""
    field = str(location[0]) if location else "settings"
    variable = PREFIX + field.upper()
    return variable if os.environ.get(variable) else f"{field!r} in {settings_file()}"
