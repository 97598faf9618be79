"""How agents are to run a task: how often again where it fails, for how long, and on what hardware."""

from __future__ import annotations

from pydantic import ValidationError

from ..events.hardware import Hardware
from .errors import InvalidArgumentError
from .task_connect import ConnectMixin


class PolicyMixin(ConnectMixin):
    """All of it may change at any time, and counts from the next enqueuing on."""

    def set_retries(self, retries: int) -> None:
        """Set how often an agent repeats a run that failed by the task's own fault; 0 by default.

        Failures of the infrastructure (a lost machine, a full disk) are repeated by themselves.

        Raises:
            InvalidArgumentError: It is negative.

        """
        if retries < 0:
            raise InvalidArgumentError(f"a number of retries is 0 or more, not {retries}.")
        self._edit("retries", int(retries))

    def set_time_limit(self, seconds: float | None) -> None:
        """Set how long a run under an agent may take, in seconds; None for as long as it likes.

        A run that takes longer is stopped like an aborted one, and has failed.

        Raises:
            InvalidArgumentError: It is not positive.

        """
        if seconds is not None and not seconds > 0:
            raise InvalidArgumentError(f"a time limit is a positive number of seconds, not {seconds}.")
        self._edit("time_limit", float(seconds or 0))

    def set_hardware(self, *, gpus: int = 0, cpus: float = 0, memory_gb: float = 0) -> None:
        """Set what the task needs: only an agent that has so much left runs it, and a scaler launches such a machine.

        Args:
            gpus: How many GPUs the run is to have.
            cpus: How many processors, in cores.
            memory_gb: How much memory, in GiB.

        Raises:
            InvalidArgumentError: One of them is negative, or not finite.

        """
        try:
            wanted = Hardware(gpus=gpus, cpus=cpus, memory_gb=memory_gb)
        except ValidationError as error:
            raise InvalidArgumentError(
                f"a task needs 0 or more GPUs, cores and GB of memory, not gpus={gpus}, cpus={cpus}, "
                f"memory_gb={memory_gb}."
            ) from error
        self._edit("hardware", wanted.model_dump())

    def get_hardware(self) -> Hardware:
        """Return what the task needs: `cpus` (cores), `memory_gb` (GiB) and `gpus`."""
        return self._spec.hardware
