"""What lies on a log before some ends: for whoever reads the past and does not follow what comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from .port import Log, LogRecord, Positions

_LOOK_SECONDS: Final = 0.05


def past(log: Log, ends: Positions) -> Iterator[LogRecord]:
    """Yield all records before these ends, in each partition in order."""
    return chain.from_iterable(past_in_batches(log, ends, dict.fromkeys(ends, 0)))


def past_in_batches(log: Log, ends: Positions, starts: Positions) -> Iterator[Sequence[LogRecord]]:
    """Yield the records from these starts to these ends, of the same partitions, in batches as they come.

    A batch is empty where nothing has come for a moment, so that whoever has a deadline can keep it.
    """
    with log.read(starts) as reader:
        while any(position < ends[source] for source, position in reader.positions().items()):
            records = reader.poll(_LOOK_SECONDS)
            has_passed = any(position > ends[source] for source, position in reader.positions().items())
            yield [record for record in records if record.offset < ends[record.source]] if has_passed else records
