"""What one lane did, as far as the recorder knows at this moment."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Literal

from assetline.timeline.axis import duration
from assetline.timeline.records import Band, BandKind, Bar, Mark
from assetline.timeline.thinning import MOST_BANDS, MOST_MARKS, thinned

State = Literal["away", "working", "paused", "idle"]
_GOES_ON = {("down", "down"), ("down", "gone"), ("gone", "gone"), ("quarantined", "quarantined")}  # the same absence


@dataclass(eq=False, slots=True)
class _Work:
    """A request that the lane works on."""

    label: str
    group: int
    began: float
    slot: int
    loads: bool


@dataclass(eq=False, slots=True)
class _Away:
    """The lane takes nothing since then."""

    kind: BandKind
    since: float
    why: str


@dataclass(eq=False)
class LaneRecord:
    """Bars and totals of a lane. Times are seconds from the beginning; `pass_to` comes before each note.

    `plain` and `loaded` hold the seconds of each picture by group, without and with a load. At most about twice
    `most` bars are kept.
    """

    name: str
    most: int
    bars: list[Bar] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    plain: dict[int, array[float]] = field(default_factory=dict)
    loaded: dict[int, array[float]] = field(default_factory=dict)
    spent: dict[State, float] = field(default_factory=lambda: dict.fromkeys(("away", "working", "paused", "idle"), 0.0))
    pictures: int = 0
    failures: int = 0
    loads: int = 0
    slots: int = 1
    loads_of: set[int] = field(default_factory=set)
    is_paused: bool = False
    _work: list[_Work] = field(default_factory=list)
    _unreached: tuple[BandKind, str] | None = None
    _quarantine: str | None = None
    _away: _Away | None = None
    _passed: float = 0.0

    @property
    def state(self) -> State:
        """What it is in now."""
        if self._away:
            return "away"
        if self._work:
            return "working"
        return "paused" if self.is_paused else "idle"

    def pass_to(self, at: float) -> None:
        """Time has passed: it belongs to the state that the lane was in."""
        self.spent[self.state] += max(at - self._passed, 0.0)
        self._passed = max(at, self._passed)

    def begin(self, at: float, label: str, group: int, *, loads: bool) -> None:
        """It begins to work on a request."""
        taken = {work.slot for work in self._work}
        slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        self.slots = max(self.slots, slot + 1)
        if loads:
            self.loads += 1
            self.loads_of.add(max(group, 0))
        self._work.append(_Work(label, max(group, 0), at, slot, loads))

    def end(self, at: float, label: str) -> None:
        """The picture is here."""
        self.pictures += 1
        if work := self._pop(label):
            kept = self.loaded if work.loads else self.plain
            kept.setdefault(work.group, array("f")).append(at - work.began)
            self._keep(_bar(work, at))

    def fail(self, at: float, label: str, why: str) -> None:
        """The try failed; without a reason it was taken back, which is nobody's failure."""
        work = self._pop(label)
        if work:
            self._keep(_bar(work, at)._replace(failed=bool(why)))
        if why:
            self.failures += 1
            self.mark(at, "failed", f"{label}: {why}" if label else why)

    def go(self, kind: Literal["down", "gone"], at: float, why: str) -> None:
        """It cannot be reached from now on. What was already so is told by the newer reason."""
        self._unreached = (kind, why)
        self._show(at)

    def answer(self, at: float) -> None:
        """It can be reached again."""
        self._unreached = None
        self._show(at)

    def shut(self, at: float, why: str) -> None:
        """It is not trusted, whether it can be reached or not."""
        self._quarantine = why
        self._show(at)

    def release(self, at: float) -> None:
        """It is trusted again."""
        self._quarantine = None
        self._show(at)

    def _show(self, at: float) -> None:
        """One absence at a time: that it cannot be reached comes before that it is not trusted."""
        shut: tuple[BandKind, str] | None = None if self._quarantine is None else ("quarantined", self._quarantine)
        found = self._unreached or shut
        goes_on = self._away and found and (self._away.kind, found[0]) in _GOES_ON
        since = self._away.since if self._away and goes_on else at
        if self._away and not goes_on and at > self._away.since and len(self.bands) < MOST_BANDS:
            self.bands.append(_band(self._away, at))
        self._away = _Away(found[0], since, found[1]) if found else None

    def mark(self, at: float, kind: str, why: str) -> None:
        """Something happened."""
        if len(self.marks) < MOST_MARKS:
            self.marks.append(Mark(round(at, 3), kind, why[:200]))

    def all_bands(self, at: float) -> list[Band]:
        """When it took nothing, up to now."""
        return [*self.bands, _band(self._away, at)] if self._away else list(self.bands)

    def open_bars(self, at: float) -> list[Bar]:
        """What it works on now."""
        return [_bar(work, at) for work in self._work]

    def doing(self, at: float) -> str:
        """`TENT-1-64x64 for 4 s`, `down for 20 s: no answer`, or nothing."""
        if self._away:
            why = f": {self._away.why}" if self._away.why else ""
            return f"{self._away.kind} for {duration(at - self._away.since)}{why}"
        if self._work:
            oldest = self._work[0]
            more = f" and {len(self._work) - 1} more" if len(self._work) > 1 else ""
            return f"{oldest.label} for {duration(at - oldest.began)}{more}"
        return "paused" if self.is_paused else ""

    def seconds(self) -> list[float]:
        """Of each picture that needed no load; of all where each needed one."""
        return [s for found in (self.plain or self.loaded).values() for s in found]

    def worked(self, group: int) -> float:
        """Seconds of work on a group."""
        return sum(sum(kept.get(group, ())) for kept in (self.plain, self.loaded))

    def _pop(self, label: str) -> _Work | None:
        work = next((one for one in self._work if one.label == label), None)
        if work:
            self._work.remove(work)
        return work

    def _keep(self, bar: Bar) -> None:
        self.bars.append(bar)
        if len(self.bars) > 2 * self.most:
            self.bars = thinned(self.bars, self.most)


def _bar(work: _Work, at: float) -> Bar:
    """A bar whose `load` only says whether there was one: how long it was is told when it is shown."""
    return Bar(work.began, at, work.group, work.slot, load=float(work.loads), label=work.label)


def _band(away: _Away, at: float) -> Band:
    return Band(round(away.since, 3), round(at, 3), away.kind, away.why[:200])
