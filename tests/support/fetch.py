"""What the tests need from elsewhere, made once and kept in the cache folder: Kafka, a Schema Registry, a Debian.

What can't be had here is said; the tests that need it are skipped then, or fail where it is required.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tasktape.tests.kafka.broker import KafkaMissingError, make_class_archive
from tasktape.tests.kafka.registry import unpacked
from tasktape.tests.support.debian import DebianMissingError, debian


def fetched(get: Callable[[], object]) -> str:
    """Get one of them; return what was in the way, if anything was."""
    try:
        get()
    except (KafkaMissingError, DebianMissingError) as error:
        return str(error)
    return ""


def main() -> None:
    """Get all of them, side by side."""
    with ThreadPoolExecutor() as threads:
        for missing in dict.fromkeys(threads.map(fetched, (debian, make_class_archive, unpacked))):
            if missing:
                sys.stderr.write(f"{missing}\n")


if __name__ == "__main__":
    main()
