"""Secrets this agent was given, and texts without them: what tasks and tools print is read by many."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from ..events.settings import is_secret

if TYPE_CHECKING:
    from ..events.settings import Settings

MASK: Final = "********"
Mask = Callable[[str], str]
_WORDS: Final = frozenset({"PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIALS"})
_SHORTEST: Final = 8


def mask_for(settings: Settings, environment: Mapping[str, str]) -> Mask:
    """Return what takes all secrets out of a text; values too short to be told from other text stay."""
    secrets = {line for secret in _secrets(settings, environment) for line in secret.splitlines()}
    longest_first = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=len, reverse=True)
    if not longest_first:
        return lambda text: text
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return lambda text: pattern.sub(MASK, text)


def is_secret_variable(name: str) -> bool:
    """Whether an environment variable's value must never be printed: by its name."""
    return bool(_WORDS & set(name.upper().split("_")))


def _secrets(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    yield from (value for name, value in environment.items() if is_secret_variable(name))
    yield from (value for name, value in settings.kafka.items() if is_secret(name))
    yield from (host.token.get_secret_value() for host in settings.git.values())
    addresses = (settings.log, settings.blobs, settings.schema_registry, settings.projection, *environment.values())
    for address in filter(None, addresses):
        yield from _password_in(address)


def _password_in(address: str) -> Iterator[str]:
    """The password of an address, as it stands there and as it reads."""
    if "@" not in address or "://" not in address:
        return
    try:
        found = urlsplit(address).password or ""
    except ValueError:
        return
    yield from {found, unquote(found)}
