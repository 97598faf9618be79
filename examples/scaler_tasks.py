"""Enqueue many small tasks at once, copies of one draft: work for machines that a scaler launches.

Run it with `python examples/scaler_tasks.py` while `tasktape scaler --config examples/scaler.toml` is there.
"""

import argparse
from pathlib import Path

from tasktape import Task

SCRIPT = Path(__file__).resolve().parent / "count_primes.py"


def main() -> None:
    """Make a draft of the script, and enqueue copies of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--queue", default="scaled")
    options = parser.parse_args()
    draft = Task.create("examples", "count primes", script=str(SCRIPT), force_single_script_file=True)
    for number in range(options.tasks):
        task = Task.clone(draft, name=f"count primes {number + 1}")
        Task.enqueue(task, queue_name=options.queue)
    print(f"{options.tasks} tasks wait in the queue {options.queue!r}.")


if __name__ == "__main__":
    main()
