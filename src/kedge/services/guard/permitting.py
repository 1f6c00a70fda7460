"""Whether new risk is permitted now, and the trader's signs of life that come with the question.

Rules: only while the brake is off, the latch is on the disk, the journal takes records and the account was seen a moment ago; what is not
known is a no; when permits begin and end is written down.
"""

from __future__ import annotations

from collections.abc import Callable

from kedge.domain.brake import permits_risk
from kedge.domain.units import E8, NS_PER_S
from kedge.services.guard.holder import Holder
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import PermitsGranted, PermitsStopped
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.status import Heartbeat, PermitAnswer
from kedge.services.guard.watch import Watch


class Permitter:
    """Answers traders.

    Attributes
    ----------
    beat : Heartbeat
        The newest sign of life.
    stopping : str
        Why the guard is ending; empty while it is not.
    """

    def __init__(
        self,
        settings: GuardSettings,
        truth: Truth,
        watch: Watch,
        holder: Holder,
        recorder: Recorder,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._settings, self._truth, self._watch, self._holder, self._recorder = settings, truth, watch, holder, recorder
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self.beat = Heartbeat()
        self.stopping = ""
        self._granted = False

    def answer(self, nonce: str, beat: Heartbeat | None) -> PermitAnswer:
        """A permit, or why there is none."""
        if beat is not None:
            self.beat = beat
            self._watch.heard(beat.rejects)
        latch, why = self._holder.latch, self.why_not()
        return PermitAnswer(
            granted=not why, level=latch.level, trigger=latch.trigger, generation=latch.generation, guard=self._settings.name, nonce=nonce,
            reason=latch.reason, why=why,
        )  # fmt: skip

    def why_not(self) -> str:
        """Why no permit is granted now; empty where one is."""
        latch, seen_ns, judged_ns = self._holder.latch, self._truth.seen_ns, self._watch.judged_ns
        if self.stopping:
            return f"the guard is stopping: {self.stopping}"
        if not permits_risk(latch.level):
            return f"the brake is {latch.level}: {latch.trigger}, {latch.reason}"
        if not self._holder.is_durable:
            return "the latch cannot be written"
        if self._recorder.trouble:
            return f"the guard's journal takes no records: {self._recorder.trouble}"
        if seen_ns is None or not self._watch.has_begun:
            return "the account was not seen yet"
        age_ns = self._monotonic_ns() - seen_ns
        if age_ns > round(self._settings.permit_view_s * NS_PER_S):
            return f"the account was seen {age_ns / NS_PER_S:.1f} s ago"
        if judged_ns is None:
            return "the account was not judged yet"
        age_ns = self._monotonic_ns() - judged_ns  # what was read and never judged permits nothing
        if age_ns > round(self._settings.permit_view_s * NS_PER_S):
            return f"the account was judged as it was {age_ns / NS_PER_S:.1f} s ago"
        if self._watch.strange_e8:
            return f"equity moved by {self._watch.strange_e8 / E8:.8f}, which neither trades nor the ledger explain yet"
        if self._watch.figures is None and self._settings.triggers.var99_flatten_e8:
            return "VaR cannot be worked out"
        return ""

    def note(self) -> None:
        """Write down that permits began or ended."""
        why = self.why_not()
        if bool(why) != self._granted:
            return
        self._granted = not why
        wall_ns, generation = self._wall_ns(), self._holder.latch.generation
        self._recorder.write(PermitsStopped(wall_ns=wall_ns, why=why) if why else PermitsGranted(wall_ns=wall_ns, generation=generation))
