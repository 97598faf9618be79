"""Events told in a few words, for audits: what changed, from what to what; pure, on the JSON of an event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..producers.text import counted
from ..projections.rows import EventRow
from .columns import shown_parameter
from .formatting import number, one_line, size

Body = Mapping[str, Any]

_HIDDEN: Final = ("meta", "task", "run", "worker", "queue", "entry", "spec")
_SHOWN: Final = 60


def describe(kind: str, body: str) -> str:
    """What an event of type `kind` says, on one line; its JSON without the envelope where nothing better is known."""
    content: Body = json.loads(body or "{}")
    teller = _TELLERS.get(kind, _fields)
    return one_line(" · ".join(part for part in (_place(content), teller(content), _why(content)) if part), 400)


def in_order(events: Iterable[EventRow]) -> list[EventRow]:
    """Events by their append times; the log stamps batches, so what one emitter said at once stays in its order."""
    return sorted(events, key=lambda event: (event.appended_at, event.occurred_at, event.session, event.seq))


def changes(kind: str, body: str) -> list[tuple[str, str, str]]:
    """What an edit changed: (field, old, new), each a text; empty for what is no edit."""
    content: Body = json.loads(body or "{}")
    if kind == "TaskEdited":
        return [(content["field"], shown_parameter(content["old"]), shown_parameter(content["new"]))]
    if kind == "ParametersSet":
        return _parameter_changes(content)
    if kind == "ConfigurationSet":
        return [(content["configuration"]["name"], content.get("old_text") or "", content["configuration"]["text"])]
    return []


def _place(content: Body) -> str:
    """Run, queue and worker an event speaks of."""
    places = []
    if content.get("run"):
        places.append(f"run {content['run']}")
    if content.get("queue"):
        places.append(f"queue {content['queue']}")
    if content.get("worker"):
        places.append(f"worker {content['worker']}")
    return ", ".join(places)


def _why(content: Body) -> str:
    return str(content.get("reason") or "").partition("\n")[0]


def _fields(content: Body) -> str:
    told = {
        name: value
        for name, value in content.items()
        if name not in (*_HIDDEN, "reason") and value not in ("", None, [], {}, False)
    }
    return ", ".join(f"{name} {_short(value)}" for name, value in told.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text, _SHOWN)


def _arrow(field: str, old: str, new: str) -> str:
    return f"{one_line(field, _SHOWN)}: {one_line(old, _SHOWN) or '(unset)'} → {one_line(new, _SHOWN) or '(unset)'}"


def _parameter_changes(content: Body) -> list[tuple[str, str, str]]:
    old = {parameter["name"]: shown_parameter(parameter["value"]) for parameter in content.get("old", ())}
    new = {parameter["name"]: shown_parameter(parameter["value"]) for parameter in content["parameters"]}
    removed = [(name, old.get(name, ""), "") for name in content.get("removed", ())]
    return [(name, old.get(name, ""), value) for name, value in new.items() if old.get(name) != value] + removed


def _edited(content: Body) -> str:
    return _arrow(*changes("TaskEdited", json.dumps(content))[0])


def _parameters(content: Body) -> str:
    return ", ".join(_arrow(*change) for change in _parameter_changes(content)) or "nothing changed"


def _configuration(content: Body) -> str:
    old, new = content.get("old_text"), content["configuration"]["text"]
    before = "(unset)" if old is None else f"{len(old):,} characters"
    return f"{content['configuration']['name']}: {before} → {len(new):,} characters"


def _created(content: Body) -> str:
    return f"{content['spec']['project']} / {content['spec']['name']}"


def _failed(content: Body) -> str:
    return str(content.get("message") or "").partition("\n")[0]


def _artifact(content: Body) -> str:
    artifact = content["artifact"]
    return f"{artifact['name']} ({artifact['type']}, {size(artifact['size'])})"


def _model(content: Body) -> str:
    model = content["model"]
    return f"{model['name']} ({model['direction']}{', ' + size(model['size']) if model['size'] else ''})"


def _points(content: Body) -> str:
    return f"{counted(content.get('points', 0), 'point')} of {number(content.get('series', 0))} series"


def _report(content: Body) -> str:
    kind = f"{content['kind']} " if content.get("kind") else ""
    return f"{kind}{_short(content['title'])} / {_short(content['series'])} at {number(content['iteration'])}"


def _lines(content: Body) -> str:
    return counted(content.get("lines", 0), "line")


def _machine(content: Body) -> str:
    place = content.get("placement") or {}
    where = ["spot" * bool(place.get("spot")), *(place.get(name) for name in ("instance_type", "zone", "subnet"))]
    left = {name: value for name, value in content.items() if name not in ("scaler", "instance", "placement")}
    return ", ".join(filter(None, [_fields(left), *where]))


def _nothing(_content: Body) -> str:
    return ""


_TELLERS: Final[dict[str, Callable[[Body], str]]] = {
    "TaskCreated": _created,
    "TaskEdited": _edited,
    "ParametersSet": _parameters,
    "ConfigurationSet": _configuration,
    "ScalarsReported": _points,
    "ConsoleWritten": _lines,
    "PlotReported": _report,
    "TextReported": _report,
    "MediaReported": _report,
    "RunStarted": _nothing,
    "RunFailed": _failed,
    "ArtifactUploaded": _artifact,
    "ModelSaved": _model,
    **{f"Instance{what}": _machine for what in ("Requested", "Launched", "Ready", "Adopted", "Failed")},
    **{f"Instance{what}": _machine for what in ("Draining", "Terminating", "Terminated")},
    "EntryEnqueued": _nothing,
    "EntryClaimed": _nothing,
    "EntryTaken": _nothing,
}
