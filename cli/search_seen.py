"""A search as the command line shows it, whether it was read or runs in this very process: its trials and a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..dashboard.formatting import duration, one_line
from ..projections.search_rows import SearchRow, TrialRow
from .output import Column, as_table, cell_text, console, plain, print_table, short_id_length, step_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from ..producers.search.figures import Shown

_OPEN = ("created", "queued", "in_progress")
_DRAWN = 20
_EMPTY = "It has not started any trials yet."


@dataclass(frozen=True)
class Seen:
    """A search as it was seen, and its trials by number."""

    row: SearchRow
    trials: list[TrialRow]

    @property
    def over(self) -> bool:
        """Whether its controller has ended."""
        return self.row.status not in _OPEN

    def as_json(self) -> dict[str, Any]:
        """All of it, without anything that changes while nothing happens."""
        return {**search_as_json(self.row), "trials": [_trial_as_json(trial) for trial in self.trials]}

    def drawn(self) -> RenderableType:
        """The best trials below a line that sums all up."""
        from rich.console import Group  # noqa: PLC0415  see `console`

        columns, rows = self._table(_DRAWN)
        cells = [[cell_text(cell) for cell in row] for row in rows]
        table = [as_table(columns, cells, console().width)[0]] if cells else []
        return Group(cell_text(self.summary(datetime.now(UTC))), *table)

    def print_trials(self, limit: int) -> None:
        """Print the best trials, at most so many; 0 for all."""
        columns, rows = self._table(limit)
        print_table(columns, rows, _EMPTY)

    def summary(self, now: datetime) -> str:
        """Name, state, trials, the best of them and the time in a line."""
        row = self.row
        counts = {"completed": row.completed, "pruned": row.pruned, "failed": row.failed, "under way": row.under_way}
        parts = [one_line(row.name, 60), row.status]
        parts += [f"{count:,} {what}" for what, count in counts.items() if count or what == "completed"]
        parts.append(f"of {row.trials:,} trials")
        if row.best is not None:
            parts.append(f"best {', '.join(map(number, row.best_values))} by trial {row.best:,} ({row.best_child})")
        if row.started_at:
            parts.append(duration(((row.ended_at or now) - row.started_at).total_seconds()))
        stopping = [] if row.stopping_reason is None else [f"stopping: {one_line(row.stopping_reason, 80)}"]
        return " · ".join([*parts, *stopping])

    def _table(self, limit: int) -> tuple[list[Column], list[list[str | Text]]]:
        from ..producers.search import figures, told  # noqa: PLC0415  the SDK is for those who need it

        if not self.trials:
            return [], []
        goals, by_number = told.objectives_of(self.row), {trial.number: trial for trial in self.trials}
        shown = told.shown_of(self.trials)
        names = figures.parameter_names(shown)
        columns = [
            Column("TRIAL", right=True),
            Column("STATUS"),
            *(Column(one_line(figures.objective_name(one), 40), right=True) for one in goals),
            Column("ITERATION", right=True),
            Column("TIME", right=True),
            Column("TASK"),
            *(Column(one_line(figures.short_name(name), 40), grow=True) for name in names),
            Column("MESSAGE", grow=True),
        ]
        length = short_id_length([trial.child for trial in self.trials])
        best = figures.ranked(shown, goals)[: limit or None]
        return columns, [_trial_cells(one, by_number[one.number], len(goals), names, length) for one in best]


def search_as_json(row: SearchRow) -> dict[str, Any]:
    """A row with its JSON read."""
    texts = {"objectives": row.objectives, "limits": row.limits, "space": row.space or "[]"}
    return {**plain(row), **{name: json.loads(text) for name, text in texts.items()}}


def _trial_as_json(trial: TrialRow) -> dict[str, Any]:
    return {**plain(trial), "parameters": json.loads(trial.parameters)}


def number(value: float) -> str:
    """A value of an objective."""
    return f"{value:.6g}"


def _trial_cells(shown: Shown, trial: TrialRow, objectives: int, names: Sequence[str], length: int) -> list[str | Text]:
    from ..producers.parameters import text_of  # noqa: PLC0415  the SDK is for those who need it

    values = [number(value) for value in trial.values] or [""] * objectives
    held = (shown.parameters.get(name) for name in names)
    parameters = [f"{value:.6g}" if isinstance(value, float) else text_of(value) for value in held]
    return [
        f"{trial.number:,}",
        step_text(trial.status),
        *values,
        f"{trial.iteration:,}" if trial.values else "",
        duration(trial.seconds) if trial.ended_at else "",
        trial.child[:length],
        *(one_line(text, 60) for text in parameters),
        one_line(trial.message, 120),
    ]
