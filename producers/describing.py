"""What a script is made of, put together from the parts that capture finds: code, packages, and how to start it."""

from __future__ import annotations

import ast
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.log.fork_gate import gate
from ..events.parts import Script
from .capture.entry import Entry
from .requirements import read_requirements, wishes
from .warn import LOGGER

if TYPE_CHECKING:
    from .capture.script import Captured
    from .session import Session

LAUNCHER: Final = "-m tasktape.producers.launch"
_INIT: Final = re.compile(r"\bTask\s*\.\s*init\s*\(")
_INIT_LINES: Final = "from tasktape import Task\nTask.init()\n"


def entry_of(folder: Path, file: Path | None, module: str = "") -> Entry:
    """How a script that is not the running one would be started, in `folder`. `module` may have arguments."""
    folder = folder.resolve()
    name, *arguments = module.split() or [""]
    return Entry(
        working_dir=folder,
        file=None if name else file and file.resolve(),
        module=name,
        name=file.name if file else "",
        arguments=arguments,
        roots=[folder] if file is None else [file.resolve().parent, folder],
    )


def describe(entry: Entry, session: Session, *, use_repository: bool = True) -> Script:
    """The script with its repository, or whole, and the packages its code imports, after the user's own wishes.

    Takes from milliseconds to seconds, by the size of the repository. Raises `BlobError` where the blob store does not
    take what is large.
    """
    with gate:
        from .capture.script import capture  # noqa: PLC0415  heavy, and for the background

    alone = wishes.standalone or not use_repository
    found = capture(entry, session.blobs, use_repository=not alone, memory=session.settings.home / "bundles")
    for note in found.notes:
        LOGGER.warning("%s", note, extra={"action": "description_note"})
    return found.script.model_copy(update={"requirements": wishes.applied(_packages(found))})


def _packages(found: Captured) -> list[str]:
    """Requirement lines: of what the code imports, or of what the user wishes in its place."""
    with gate:
        from .capture.packages import imported, installed  # noqa: PLC0415  heavy, and for the background

    if wishes.freeze_file:
        return read_requirements(wishes.freeze_file)
    return installed(found.boundary) if wishes.freeze else imported(found.imports.external, found.boundary)


def first_look(entry: Entry) -> Script:
    """What can be said of a script at once: its name, its arguments, the version of Python."""
    version = platform.python_version()
    point = f"-m {entry.module}" if entry.module else entry.name
    return Script(entry_point=point, arguments=entry.arguments, python_version=version)


def default_names(entry: Entry) -> tuple[str, str]:
    """Project and name of a script that names none: its repository's folder, and the script without its suffix."""
    start = entry.file.parent if entry.file else entry.working_dir
    root = next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), None)
    name = entry.module or Path(entry.name).stem
    return root.name if root else "Untitled", name or "Untitled"


def calls_init(file: Path) -> bool:
    """Whether a script calls `Task.init` itself."""
    return bool(_INIT.search(file.read_text(encoding="utf-8", errors="replace")))


def with_init(script: Script) -> Script:
    """A script that runs as a task though it does not say so: started through a launcher, or with two lines more."""
    if script.source:
        return script.model_copy(update={"source": _with_lines(script.source)})
    if not script.entry_point:
        return script
    arguments = [*script.entry_point.split(maxsplit=1), *script.arguments]
    return script.model_copy(update={"entry_point": LAUNCHER, "arguments": arguments})


def _with_lines(source: str) -> str:
    """The source with `Task.init()` after its docstring and `__future__` imports, where Python wants it."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return source
    first = [node for node in body[:1] if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    future = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    line = max((node.end_lineno or 0 for node in (*first, *future)), default=0)
    lines = source.splitlines(keepends=True)
    return "".join([*lines[:line], _INIT_LINES, *lines[line:]])
