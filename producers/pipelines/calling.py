"""The user's own callbacks: called one at a time, each once, with what ClearML's are called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...projections.pipeline_fold import StepState
from ..warn import LOGGER
from .decide import BEFORE, Call
from .node import Node

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Calls:
    """Calls callbacks for `caller`, the pipeline. `asked` gives the parameters that one may change before a run."""

    caller: Any
    nodes: Mapping[str, Node]
    asked: Callable[[Node], Parameters]

    def answer(self, call: Call, step: StepState) -> bool:
        """Call a callback; False where it asks not to go on. One that raises has nothing to say.

        Raises:
            PipelineError: The step can't be prepared, so that there is nothing to ask about.

        """
        node = self.nodes[call.step]
        about = (self.asked(node),) if call.callback in BEFORE else ()
        try:
            said = self._call(node, call, step, about)
        except Exception:  # noqa: BLE001  the user's own code may raise anything
            LOGGER.exception(
                "the %s callback of step %r failed; the pipeline goes on.",
                call.callback,
                call.step,
                extra={"action": "callback_failed", "step": call.step, "callback": call.callback},
            )
            return call.callback != "retry"
        return bool(said) if call.callback == "retry" else said is not False

    def _call(self, node: Node, call: Call, step: StepState, about: tuple[Parameters, ...]) -> Any:
        function = node.callbacks[call.callback]
        if call.callback == "retry":
            return function(self.caller, node, step.retries)
        if call.callback != "status":
            said = function(self.caller, node, *about)
            return said if call.callback in BEFORE else True
        node.status = step.history[call.occasion]
        try:
            function(self.caller, node, step.history[call.occasion - 1] if call.occasion else "pending")
        finally:
            node.status = step.status
        return True
