"""Secrets by name: a machine reads `ssm:NAME` and `secretsmanager:NAME#KEY` itself, with the rights it has.

So no secret is in the text that starts it, which whoever may describe a machine can read for as long as it lives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

_FORM: Final = re.compile(r"(?P<service>ssm|secretsmanager):(?P<name>[^#\s]+)(?:#(?P<key>.+))?", re.DOTALL)
FORMS: Final = "ssm:NAME or secretsmanager:NAME#KEY"


class Reference(NamedTuple):
    """Where a secret is: a parameter's name in SSM, or a secret's in Secrets Manager and a key of its JSON."""

    service: str
    name: str
    key: str = ""


def reference(value: Any) -> Reference | None:
    """What a value refers to; None if it is one itself."""
    found = _FORM.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else Reference(found["service"], found["name"], found["key"] or "")


def with_secrets(tree: Any, read: Callable[[Reference], str]) -> Any:
    """The same tables with secrets instead of references."""
    if isinstance(tree, Mapping):
        return {name: with_secrets(value, read) for name, value in tree.items()}
    found = reference(tree)
    return tree if found is None else read(found)
