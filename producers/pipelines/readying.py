"""Steps made ready to run, and kept so from the first callback that may change one until it is queued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...events.task_events import ParametersSet
from ...projections.pipeline_fold import DONE, PipelineFold, StepState
from ..controllers.channel import patient
from ..controllers.runners import created
from ..errors import UnknownTaskError
from ..parameters import full_name, value_of
from .decide import BEFORE
from .node import Job, Node
from .outcomes import Outcome
from .overrides import with_parameters
from .preparing import Prepared, Preparer, Surroundings, read_base

if TYPE_CHECKING:
    from ..controllers.channel import Channel
    from ..controllers.children import Children


class Readying:
    """Makes the steps of one pipeline ready. `catch_up` reads all that is on the log."""

    def __init__(
        self,
        surroundings: Surroundings,
        nodes: Mapping[str, Node],
        fold: PipelineFold,
        children: Children,
        channel: Channel,
    ) -> None:
        self._session = surroundings.session
        self._nodes = nodes
        self._fold = fold
        self._children = children
        self._channel = channel
        self._preparer = Preparer(surroundings, self.outcome_of, self._may_lack)
        self._prepared: dict[str, Prepared] = {}
        self.catch_up: Callable[[], None] = lambda: None

    def known(self, step: str) -> Prepared | None:
        """A step that is ready; None for one that was queued in an earlier run."""
        return self._prepared.get(step)

    def take(self, step: str) -> Prepared:
        """Hand out a step to be run, and forget it."""
        return self._prepared.pop(step)

    def forget(self, step: str) -> None:
        """A step is not run after all."""
        self._prepared.pop(step, None)

    def launched(self, step: str) -> Prepared:
        """A step as it is to be run: with all that its callbacks have changed."""
        return self._hold(self._final(self.ready(step)))

    def called(self, step: str) -> None:
        """A callback has returned that may have changed a step's parameters: who goes on later has to know."""
        self._keep(self._prepared[step])

    def outcome_of(self, step: str) -> Outcome:
        """What a step has come to; a task of another pipeline is read from the projection."""
        child = self._fold.steps[step].child
        known = Outcome.of_child(self._children[child]) if child in self._children else None
        task = child or self._nodes[step].base_task_id or ""
        return known or patient(lambda: Outcome.of_task(self._session, task))

    def ready(self, step: str) -> Prepared:
        """A step made ready, once. Raises what `Preparer.prepare` does."""
        if step not in self._prepared:
            node = self._nodes[step]
            self._hold(self._as_left(self._preparer.prepare(node, self._fold.generation)))
        return self._prepared[step]

    def _hold(self, one: Prepared) -> Prepared:
        """Keep a step that was made ready, and show it to callbacks."""
        self._prepared[one.node.name] = one
        one.node.job = Job(one.cached or one.child, one.parameters, one.node)
        one.node.job_type = one.spec.task_type
        return one

    def _may_lack(self, step: str) -> bool:
        """Whether what others take from a step may be missing: it has not completed, and they run all the same."""
        return self._fold.steps[step].status not in DONE

    def asked(self, node: Node) -> dict[str, Any]:
        """The parameters that a callback may change before the step is run; its task is there to be changed, too."""
        one = self.ready(node.name)
        if one.is_new and not one.cached:
            self._draft(one)
        return one.parameters

    def _draft(self, one: Prepared) -> None:
        """Make a step's task before it is queued, so that it is there to be changed."""
        self._children.watch(one.child, one.run, None)
        self._channel.append(created(self._session, [one]))
        self._hold(replace(one, is_new=False, is_draft=True))

    def _keep(self, one: Prepared) -> None:
        """Keep what a callback has changed in the parameters: who goes on after this controller's death has to know."""
        before = {held.name: held for held in one.spec.parameters}
        spec = with_parameters(one.spec, one.parameters)
        changed = [held for held in spec.parameters if before.get(held.name) != held]
        if not changed:
            return
        if one.is_new:
            self._draft(one)
        old = [before[held.name] for held in changed if held.name in before]
        about = {"task": one.child, "parameters": changed, "old": old}
        self._channel.append([ParametersSet(meta=self._session.stamp(), **about)])
        self._hold(self._preparer.looked_up(replace(self._prepared[one.node.name], spec=spec)))

    def _as_left(self, one: Prepared) -> Prepared:
        """A step as its callbacks have left it, if an earlier run of the controller has called some."""
        answers = self._fold.steps[one.node.name].answers
        if not one.is_new or not any((callback, 0) in answers for callback in BEFORE):
            return one
        try:
            base = patient(lambda: read_base(self._session, one.child))
        except UnknownTaskError:
            return one
        self._children.watch(one.child, one.run, None, base.spec)
        names = {full_name(name): name for name in one.parameters}
        changed = [held for held in base.spec.parameters if held not in one.spec.parameters]
        parameters = one.parameters | {names.get(held.name, held.name): value_of(held) for held in changed}
        left = replace(one, spec=base.spec, parameters=parameters, is_new=False, is_draft=True)
        return self._preparer.looked_up(left)

    def _final(self, one: Prepared) -> Prepared:
        """A step with what its callbacks have changed in its task, and in its parameters."""
        if not one.is_draft:
            return one
        self._session.outbox.synced(self._session.settings.close_timeout)
        self.catch_up()
        changed = self._children[one.child].state.spec or one.spec
        return self._preparer.looked_up(replace(one, spec=with_parameters(changed, one.parameters)))

    def again(self, step: StepState) -> Prepared:
        """What a step's task needs to run once more: its description as it stands on the log, else made anew."""
        node = self._nodes[step.name]
        known = self._children[step.child].state.spec
        if known is not None:
            return Prepared(node, step.child, step.child_run, known, {}, step.queue, is_new=False)
        try:
            base = patient(lambda: read_base(self._session, step.child))
            return Prepared(node, step.child, step.child_run, base.spec, {}, step.queue, is_new=False)
        except UnknownTaskError:
            made = self._preparer.prepare(node, self._fold.generation)
            return replace(made, child=step.child, run=step.child_run, queue=step.queue)
