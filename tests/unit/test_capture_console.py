"""What a program writes to its console, and what it logs, is heard once, in order, and unchanged."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tasktape.producers.capture.console import ConsoleTap

LISTENING = """
import atexit, sys
from tasktape.producers.capture.console import ConsoleTap
parts = []
ConsoleTap(lambda stream, text: parts.append(text)).listen()
atexit.register(lambda: open(sys.argv[1], "w").write("".join(parts)))
"""


class Heard:
    """A console of its own, opened by the test itself since pytest opens one before it, and what a tap heard there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.stdout = stream("utf-8")
        self.stderr = stream("utf-8")
        self.parts: list[tuple[str, str]] = []
        self.tap = ConsoleTap(lambda name, text: self.parts.append((name, text)))

    def open(self) -> None:
        self._monkeypatch.setattr(sys, "stdout", self.stdout)
        self._monkeypatch.setattr(sys, "stderr", self.stderr)

    def listen(self, chosen: Any = True) -> Callable[[], None]:
        self.open()
        return self.tap.listen(chosen)

    def text(self, name: str) -> str:
        return "".join(text for stream, text in self.parts if stream == name)


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def shown(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    heard = Heard(monkeypatch)
    yield heard
    heard.tap.stop()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("user")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    logger.handlers.clear()
    logger.propagate = True


def test_what_is_printed_is_shown_and_heard(heard: Heard) -> None:
    heard.listen()
    print("one", 2, "\u2603")  # noqa: T201
    sys.stdout.writelines(["three\n", "four"])
    print("trouble", file=sys.stderr)  # noqa: T201
    assert heard.text("stdout") == shown(heard.stdout) == "one 2 \u2603\nthree\nfour"
    assert heard.text("stderr") == shown(heard.stderr) == "trouble\n"


def test_a_stream_keeps_its_identity_and_abilities(heard: Heard) -> None:
    heard.listen()
    assert sys.stdout is heard.stdout
    assert sys.stdout.isatty() is False
    assert sys.stdout.encoding == "utf-8"
    assert sys.stdout.write("four") == 4


def test_the_streams_are_as_they_were_afterwards(heard: Heard) -> None:
    undo = heard.listen()
    undo()
    print("unheard")  # noqa: T201
    assert "write" not in vars(sys.stdout)
    assert heard.parts == []
    assert shown(heard.stdout) == "unheard\n"


def test_a_wrapper_put_on_top_stays_and_hears_for_itself(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    heard.listen()
    inner, seen = sys.stdout.write, []

    def on_top(text: str) -> int:
        seen.append(text)
        return inner(text)

    monkeypatch.setattr(sys.stdout, "write", on_top)
    heard.tap.stop()
    sys.stdout.write("later")
    assert (seen, heard.parts, shown(heard.stdout)) == (["later"], [], "later")


@pytest.mark.parametrize(
    ("chosen", "streams"),
    [
        (True, {"stdout", "stderr", "log"}),
        (False, set()),
        ({}, set()),
        ({"stdout": False}, {"stderr", "log"}),
        ({"stdout": True, "stderr": False, "logging": False}, {"stdout"}),
    ],
)
def test_streams_are_chosen_as_in_clearml(heard: Heard, logger: logging.Logger, chosen: Any, streams: set[str]) -> None:
    heard.listen(chosen)
    print("out")  # noqa: T201
    print("err", file=sys.stderr)  # noqa: T201
    logger.info("record")
    assert {stream for stream, _ in heard.parts} == streams


def test_a_record_shown_on_the_console_is_heard_once_as_it_is_shown(heard: Heard, logger: logging.Logger) -> None:
    heard.open()
    logger.addHandler(logging.StreamHandler(sys.stderr))
    heard.listen()
    logger.info("before the task")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.info("on both")
    assert heard.parts == [("stderr", "before the task\n"), ("stderr", "on both\n"), ("stdout", "on both\n")]


def test_a_record_that_is_shown_nowhere_is_heard_as_a_log_line(heard: Heard, logger: logging.Logger) -> None:
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    heard.listen()
    logger.info("to a %s", "file")
    logger.debug("below the logger's level")
    ((stream, text),) = heard.parts
    assert stream == "log"
    assert text.endswith(" - user - INFO - to a file\n")


def test_a_record_that_a_library_keeps_quiet_is_not_heard(heard: Heard, logger: logging.Logger) -> None:
    logger.handlers[:] = [logging.NullHandler()]
    heard.listen()
    logger.info("nobody was to see it")
    assert heard.parts == []


def test_output_sent_elsewhere_on_purpose_is_not_heard(heard: Heard) -> None:
    heard.listen()
    with redirect_stdout(io.StringIO()) as elsewhere:
        print("private")  # noqa: T201
    assert elsewhere.getvalue() == "private\n"
    assert heard.parts == []


def test_what_hearing_itself_prints_is_shown_and_not_heard_again(heard: Heard) -> None:
    def write(stream: str, text: str) -> None:
        heard.parts.append((stream, text))
        print("echo", text, end="")  # noqa: T201
        logging.getLogger("other").error("echo")

    heard.open()
    tap = ConsoleTap(write)
    tap.listen()
    sys.stdout.write("a")
    tap.stop()
    assert heard.parts == [("stdout", "a")]
    assert shown(heard.stdout) == "aecho a"


def test_trouble_in_hearing_does_not_reach_the_program(heard: Heard) -> None:
    heard.open()
    tap = ConsoleTap(lambda _stream, _text: 1 / 0)
    tap.listen()
    assert sys.stdout.write("still shown") == 11
    tap.stop()
    assert shown(heard.stdout) == "still shown"


def test_text_the_terminal_cannot_show_fails_as_it_does_alone(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    heard.open()
    monkeypatch.setattr(sys, "stdout", stream("ascii"))
    heard.tap.listen()
    with pytest.raises(UnicodeEncodeError):
        sys.stdout.write("\u2603")
    with pytest.raises(TypeError):
        sys.stdout.write(b"bytes")  # type: ignore[arg-type]
    assert heard.parts == []


def test_threads_are_heard_whole(heard: Heard) -> None:
    heard.listen()

    def work(name: str) -> None:
        for _ in range(200):
            sys.stdout.write(f"{name}\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard.text("stdout").split()) == sorted("abcd" * 200)


def test_a_progress_bar_is_heard_as_it_is_drawn(heard: Heard) -> None:
    from tqdm import tqdm  # type: ignore[import-untyped]  # noqa: PLC0415  looks at sys.stderr when imported

    heard.listen()
    for _ in tqdm(range(3), file=sys.stderr, mininterval=0):
        pass
    assert heard.text("stderr") == shown(heard.stderr)
    assert "\r100%" in heard.text("stderr")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit('goodbye')", "goodbye\n"),
        ("1 / 0", "ZeroDivisionError: division by zero\n"),
        ("import warnings\nwarnings.warn('careful')", "UserWarning: careful\n"),
        ("import logging\nlogging.getLogger('nowhere').warning('last resort')", "last resort\n"),
        ("import logging\nlogging.basicConfig(level='INFO')\nlogging.info('configured')", "INFO:root:configured\n"),
    ],
)
def test_what_python_itself_says_is_heard_as_it_is_shown(tmp_path: Path, program: str, said: str) -> None:
    command = [sys.executable, "-c", LISTENING + program, str(tmp_path / "heard")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (tmp_path / "heard").read_text() == done.stderr
    assert done.stderr.endswith(said)
