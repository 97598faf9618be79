"""Hydra: overrides as parameters of the section `Hydra`, the composed configuration as the configuration `OmegaConf`.

Under an agent the task's overrides replace those of the command line, and the configuration is composed anew; with the
parameter `Hydra/_allow_omegaconf_edit_` true, the task's configuration is taken as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..parameters import value_of
from .import_hook import ImportHook
from .patches import Patches, safely

if TYPE_CHECKING:
    from .arguments import Arguments

LIBRARY: Final = "hydra"
SECTION: Final = "Hydra"
CONFIGURATION: Final = "OmegaConf"
ALLOW_EDIT: Final = "_allow_omegaconf_edit_"
_SET_BY_HYDRA: Final = frozenset({"hydra.mode"})


def install(hook: ImportHook, patches: Patches, arguments: Arguments) -> None:
    """Watch Hydra once it is imported."""

    def patch_composer(module: ModuleType) -> None:
        patches.wrap(module.Hydra, "compose_config", lambda compose: _composed(compose, arguments))

    def patch_jobs(module: ModuleType) -> None:
        patches.before(module.Callbacks, "on_job_start", lambda _callbacks, config, **_: _record(config, arguments))

    hook.when_imported("hydra._internal.hydra", patch_composer)
    hook.when_imported("hydra._internal.callbacks", patch_jobs)


def _composed(compose: Callable[..., Any], arguments: Arguments) -> Callable[..., Any]:
    """Hydra's `compose_config`, with the task's overrides and perhaps its whole configuration under an agent."""

    def wrapper(
        hydra: Any, config_name: Any, overrides: Sequence[str], run_mode: Any, *args: Any, **kwargs: Any
    ) -> Any:
        found = {key: value for key, value in map(_split, overrides) if key not in _SET_BY_HYDRA}
        safely("hydra", arguments.found, {ALLOW_EDIT: False, **found}, SECTION, LIBRARY)
        config = compose(hydra, config_name, _edited(overrides, arguments), run_mode, *args, **kwargs)
        whole = _allowed_text(arguments) if run_mode.name == "RUN" else None
        return config if whole is None else _replaced(config, whole)

    return wrapper


def _edited(overrides: Sequence[str], arguments: Arguments) -> Sequence[str]:
    """The overrides, those of the task in place of others of the same key."""
    remote = {key: value_of(held) for key, held in arguments.remote(SECTION).items() if key != ALLOW_EDIT}
    if not remote:
        return overrides
    kept = {key: value for key, value in map(_split, overrides) if key not in remote}
    return [_joined(key, value) for key, value in {**kept, **remote}.items()]


def _allowed_text(arguments: Arguments) -> str | None:
    """The task's whole configuration, where it may be edited as such."""
    allowed = arguments.remote(SECTION).get(ALLOW_EDIT)
    return arguments.remote_configuration(CONFIGURATION) if allowed and _is_true(value_of(allowed)) else None


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _split(override: str) -> tuple[str, str]:
    """Key (with a leading `+` or `~`) and value of an override; a deletion has no value."""
    key, _, value = override.partition("=")
    return key, value


def _joined(key: str, value: Any) -> str:
    return key if key.startswith("~") and not value else f"{key}={_text(value)}"


def _text(value: Any) -> str:
    """A value in Hydra's own grammar."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)


def _record(config: Any, arguments: Arguments) -> None:
    """Record the configuration without Hydra's own part, its references to the environment unresolved."""
    from omegaconf import OmegaConf  # noqa: PLC0415  Hydra has imported it

    own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    arguments.found_configuration(CONFIGURATION, OmegaConf.to_yaml(own), LIBRARY)


def _replaced(config: Any, text: str) -> Any:
    """The task's configuration, with Hydra's own part of the one it takes the place of."""
    from omegaconf import OmegaConf, open_dict  # noqa: PLC0415  Hydra has imported it

    replaced: Any = OmegaConf.create(text)
    with open_dict(replaced):
        replaced["hydra"] = config["hydra"]
    OmegaConf.set_struct(replaced, value=True)
    return replaced
