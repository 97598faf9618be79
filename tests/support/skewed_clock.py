"""A wall clock that is off by as many seconds as the file says that `SKEW_FILE` names: a `sitecustomize.py`."""

SKEWED_CLOCK = """
import os, time

_time, _time_ns, _file = time.time, time.time_ns, os.environ["SKEW_FILE"]

def skew():
    with open(_file) as file:
        return int(file.read() or 0)

time.time = lambda: _time() + skew()
time.time_ns = lambda: _time_ns() + skew() * 10**9
"""
