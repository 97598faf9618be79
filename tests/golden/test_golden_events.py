"""Records that released versions wrote are read by this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasktape.events import codec
from tasktape.events.catalogue import EVENT_TYPES

HERE = Path(__file__).parent
RELEASED = {
    f"{path.parent.name}-{name}": record
    for path in sorted(HERE.glob("*/events.json"))
    for name, record in json.loads(path.read_text(encoding="utf-8")).items()
}


def test_every_released_schema_set_has_golden_records() -> None:
    released = {path.name for path in (HERE.parents[1] / "events" / "schemas" / "released").iterdir()}
    assert released == {path.parent.name for path in HERE.glob("*/events.json")}
    assert released


@pytest.mark.parametrize("record", RELEASED.values(), ids=RELEASED)
def test_a_released_record_reads_as_the_event_it_was(record: dict[str, Any], request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id.partition("-")[2]
    assert codec.decode(bytes.fromhex(record["bytes"])) == EVENT_TYPES[name].model_validate_json(
        json.dumps(record["event"])
    )
