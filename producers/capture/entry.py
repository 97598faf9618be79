"""What this process runs, as the interpreter knows it: a script, a module, code without a file, a notebook's cells."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final

from .imports import own_modules

NOTEBOOK: Final = "notebook.py"
INLINE: Final = "inline.py"


@dataclass(frozen=True)
class Entry:
    """How the process was started.

    `file` is the script (None for code without one, which is in `source`), `module` the name after `-m`. `roots` are
    the folders of `sys.path`, `loaded` the files of the user's own modules imported so far, by name.
    """

    working_dir: Path
    file: Path | None = None
    module: str = ""
    source: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    roots: list[Path] = field(default_factory=list)
    loaded: dict[str, Path] = field(default_factory=dict)

    @property
    def is_installed(self) -> bool:
        """Whether it is a program of the environment, such as a console script, and no file of the user's own."""
        return self.file is not None and self.file.is_relative_to(sys.prefix)


def find_entry() -> Entry:
    """Look at the running interpreter. Cheap; to be called before the script changes folder or arguments."""
    main = sys.modules.get("__main__")
    cells = notebook_source(main)
    source = cells or _inline_source()
    file = None if source else _file(main)
    folder = _working_dir()
    return Entry(
        working_dir=folder.resolve(),
        file=file,
        module=_module_name(main) if file else "",
        source=source,
        name=file.name if file else NOTEBOOK if cells else INLINE if source else "",
        arguments=[] if cells else list(getattr(sys, "argv", [])[1:]),
        roots=[(folder / path).resolve() for path in sys.path],
        loaded={
            name: Path(file) for name, module in own_modules().items() if (file := getattr(module, "__file__", None))
        },
    )


def _working_dir() -> Path:
    """The current folder; the root where it is gone."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def real(path: Path) -> Path:
    """The absolute path with its folders' links followed, and its own last part as it is."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  unlike `absolute`, it resolves `..`
    return absolute.parent.resolve() / absolute.name


def _file(main: ModuleType | None) -> Path | None:
    name = getattr(main, "__file__", None)
    return real(Path(name)) if name and Path(name).is_file() else None


def _module_name(main: ModuleType | None) -> str:
    """The name given to `python -m`; empty for a script, a folder and an archive."""
    spec = getattr(main, "__spec__", None)
    name = str(getattr(spec, "name", ""))
    return "" if name == "__main__" else name.removesuffix(".__main__")


def _inline_source() -> str:
    """The code given to `python -c`."""
    original = sys.orig_argv
    return original[original.index("-c") + 1] if sys.argv[:1] == ["-c"] and "-c" in original[:-1] else ""


def notebook_source(main: ModuleType | None) -> str:
    """The cells run so far in an IPython shell or a Jupyter notebook, its own commands (`%`, `!`, `?`) as comments."""
    shell = getattr(main, "get_ipython", lambda: None)()
    cells = getattr(getattr(shell, "history_manager", None), "input_hist_raw", [])
    return "\n\n".join(_as_python(cell) for cell in cells if cell.strip())


def _as_python(cell: str) -> str:
    """The cell with the lines that only IPython understands as comments; all of it for one in another language."""
    lines = cell.rstrip().split("\n")
    foreign = lines[0].lstrip().startswith("%%")
    return "\n".join(f"# {line}" if foreign or _is_command(line.strip()) else line for line in lines)


def _is_command(line: str) -> bool:
    return line.startswith(("%", "!", "?")) or line.endswith("?")
