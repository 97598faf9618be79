"""Settings: `TASKTAPE_*` variables, then a `tasktape.toml`, then defaults that need no set-up at all.

The file is the one `TASKTAPE_CONFIG` names, else `./tasktape.toml`, else `$TASKTAPE_HOME/tasktape.toml`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from .errors import SettingsError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from .blobs import BlobStore
    from .codec import Codec
    from .log.port import Log

PREFIX: Final = "TASKTAPE_"
FILE_NAME: Final = "tasktape.toml"
_KAFKA_PREFIX: Final = PREFIX + "KAFKA_"
_GIT_PREFIX: Final = PREFIX + "GIT_"
_MASK: Final = "********"
_SECRET_WORDS: Final = ("password", "secret", "token", "jaas", "ssl.key", "oauthbearer.config")


class Properties(dict[str, str]):
    """librdkafka properties; secrets do not show when printed."""

    def __repr__(self) -> str:
        return repr({name: _MASK if is_secret(name) else value for name, value in self.items()})

    __str__ = __repr__


def is_secret(name: str) -> bool:
    """Whether a property's value must never be printed: by its name."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def without_credentials(url: str) -> str:
    """The URL as it may be printed: without user and password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"{_MASK}@{parts.netloc.rpartition('@')[2]}"))


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _absolute_folder(uri: str) -> str:
    return uri if not uri or "://" in uri else str(_absolute(Path(uri)))


def _flat(value: Any, prefix: str = "") -> Any:
    """Nested tables as dotted names, all values as text: TOML reads an unquoted `sasl.username = …` as a table."""
    if not isinstance(value, Mapping):
        return value
    return dict(_leaves(value, prefix))


def _leaves(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value).lower() if isinstance(value, bool) else str(value)


Folder = Annotated[str, AfterValidator(_absolute_folder)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class GitHost(BaseModel):
    """What opens private repositories of one host: a token (or password) over https, a key over ssh."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    user: str = "git"
    token: SecretStr = SecretStr("")
    ssh_key: AbsolutePath | None = None


class Settings(BaseSettings):
    """How to reach the log, the blob store and the projection, and where this machine keeps its files.

    Times are in seconds. Relative and `~` paths are made absolute when the settings are read.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    home: AbsolutePath = Path("~/.tasktape")
    log: str = Field(default_factory=lambda data: f"sqlite:///{data['home']}/log.db")
    kafka: Annotated[dict[str, str], BeforeValidator(_flat), AfterValidator(Properties)] = Field(default_factory=dict)
    schema_registry: str | None = None
    blobs: Folder = Field(default_factory=lambda data: f"{data['home']}/blobs")
    projection: str | None = None
    output_uri: Folder = ""
    heartbeat_interval: float = Field(default=5.0, gt=0)
    claim_lease: float = Field(default=10.0, gt=0)
    close_timeout: float = Field(default=10.0, ge=0)
    git: dict[str, GitHost] = Field(default_factory=dict)
    environments_count: int = Field(default=50, ge=1)
    environments_gigabytes: float = Field(default=50.0, gt=0)

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

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_credentials(value) if isinstance(value, str) else value

    def open_log(self) -> Log:
        """Open the message log."""
        from .log.open import open_log  # noqa: PLC0415  imported only where used

        return open_log(self.log, self.kafka)

    def codec(self) -> Codec:
        """Codec with Confluent's framing where a schema registry is set, else with single-object framing."""
        from .codec import Codec  # noqa: PLC0415  imported only where used

        if not self.schema_registry:
            return Codec()
        from .registry import SchemaRegistry  # noqa: PLC0415  imported only where used

        return Codec(SchemaRegistry(self.schema_registry))

    def blob_store(self) -> BlobStore:
        """Open the blob store."""
        from .blobs import open_blob_store  # noqa: PLC0415  imported only where used

        return open_blob_store(self.blobs)


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


def load_settings() -> Settings:
    """Read the settings afresh. Raises `SettingsError`, which names the key, where one can't be understood."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [found for found in error.errors() if found["type"] != "default_factory_not_called"]
        raise SettingsError("; ".join(f"{_origin(found['loc'])}: {found['msg']}" for found in wrong)) from None
    except SourceError as error:
        raise SettingsError(str(error)) from None
    except (OSError, RuntimeError) as error:
        raise SettingsError(f"the settings can't be read: {error}. Set TASKTAPE_HOME to a folder of yours.") from error


def _origin(location: tuple[int | str, ...]) -> str:
    """Where the setting comes from: a variable, or a key of the file."""
    field = str(location[0]) if location else "settings"
    variable = PREFIX + field.upper()
    return variable if os.environ.get(variable) else f"{field!r} in {settings_file()}"
