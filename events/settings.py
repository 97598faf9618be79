"""Settings: how to reach the log and the rest, as one frozen value. `load_settings` reads them from their sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

if TYPE_CHECKING:
    from .blobs import BlobStore
    from .codec import Codec
    from .log.port import Log

PREFIX: Final = "TASKTAPE_"
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


class Settings(BaseModel):
    """How to reach the log, the blob store and the projection, and where this machine keeps its files.

    Times are in seconds. Relative and `~` paths are made absolute when the settings are read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)

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
    instance: str = ""
    git: dict[str, GitHost] = Field(default_factory=dict)
    environments_count: int = Field(default=50, ge=1)
    environments_gigabytes: float = Field(default=50.0, gt=0)

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


def load_settings() -> Settings:
    """Read the settings afresh. Raises `SettingsError`, which names the key, where one can't be understood."""
    from .settings_sources import read_settings  # noqa: PLC0415  takes 16 MB and 75 ms with all it imports

    return read_settings()
