"""A page of figures and a table as one HTML file that needs no network: plotly's script is part of it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from plotly.offline import get_plotlyjs

from ..producers.figures import Figure, dumps

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1d2433 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; white-space: nowrap }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #dde1ea }
"""
_DRAW: Final = "Plotly.newPlot(document.getElementById('figure-{place}'), {data}, {layout}, {{responsive: true}});"


def page(
    title: str, lines: Sequence[str], figures: Sequence[tuple[str, Figure]], table: Sequence[Sequence[object]]
) -> str:
    """Return the page: a heading, lines below it, figures with theirs, and a table whose first row is its heading."""
    told = "".join(f"<p>{_text(line)}</p>" for line in lines)
    drawn = "".join(_drawn(place, name, figure) for place, (name, figure) in enumerate(figures))
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{_STYLE}</style>'
    body = f"<h1>{_text(title)}</h1>{told}<script>{get_plotlyjs()}</script>{drawn}{_table(table)}"
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _drawn(place: int, name: str, figure: Figure) -> str:
    script = _DRAW.format(place=place, data=_script(figure["data"]), layout=_script(figure["layout"]))
    return f'<h2>{_text(name)}</h2><div id="figure-{place}"></div><script>{script}</script>'


def _script(value: object) -> str:
    """JSON within a script: no text in it ends the script."""
    return dumps(value).replace("<", "\\u003c")


def _table(rows: Sequence[Sequence[object]]) -> str:
    heading, *others = rows
    cells = "".join(f"<th>{_text(cell)}</th>" for cell in heading)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in others)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _text(value: object) -> str:
    return html.escape(str(value))
