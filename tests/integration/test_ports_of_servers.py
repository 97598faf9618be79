"""Servers of tests never get in each other's way: each port is given once, in this process and in all others."""

from __future__ import annotations

import subprocess
import sys

from tasktape.tests.kafka.ports import PORTS, free_port

FEW = PORTS[:200]
FIFTY = f"""
from tasktape.tests.kafka.ports import PORTS, free_port
print(*(free_port(PORTS[:{len(FEW)}]) for _ in range(50)))
"""


def test_a_port_is_given_once() -> None:
    here = {free_port(FEW) for _ in range(50)}
    said = subprocess.run([sys.executable, "-c", FIFTY], capture_output=True, text=True, check=True).stdout
    elsewhere = {int(port) for port in said.split()}
    assert len(here) == len(elsewhere) == 50
    assert not here & elsewhere
