"""Whatever is called in whatever order: caps hold when something is reserved, and no picture has two open attempts."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.ledger_race import intent
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from assetline.errors import AttemptOpen, BudgetRefused, PredictionTaken
from assetline.ledger import Caps, IllegalStep, Ledger, open_ledger
from assetline.ledger.money import to_cap, to_cost, to_reserve

# What may follow what, written down once more: a step that this table lacks must change nothing.
MAY = {
    "submitting": {"intent"},
    "submitted": {"submitting", "unknown", "held"},
    "refused": {"submitting"},
    "unknown": {"submitting"},
    "released": {"intent", "submitting", "unknown", "held"},
    "held": {"intent", "submitting", "unknown", "submitted"},
    "succeeded": {"submitted", "held"},
    "failed": {"submitted", "held"},
    "canceled": {"submitted", "held"},
    "aborted": {"submitted", "held"},
    "lost": {"submitted", "held"},
}
OPEN = {"intent", "submitting", "unknown", "submitted", "held"}
SETTLED = ("succeeded", "failed", "canceled", "aborted", "lost")
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the disk is not the subject

amounts = st.decimals(0, 1, places=3).map(float)
caps = st.one_of(st.none(), st.decimals(0, 3, places=2).map(float))
names = st.sampled_from("abcd")


@dataclass
class Told:
    """What the test knows of one attempt; money in micro-dollars."""

    key: str
    campaign: str
    run: str
    day: str
    reserved: int
    state: str = "intent"
    prediction: str = ""
    cost: int | None = None
    entries: int = 1

    @property
    def charged(self) -> int:
        return self.reserved if self.cost is None else self.cost


def take(ledger: Ledger, number: int, state: str, usd: float, prediction: str) -> None:
    """The step that leads to `state`."""
    if state in SETTLED:
        ledger.settle(number, state, usd)
    elif state == "submitting":
        ledger.submitting(number)
    elif state == "submitted":
        ledger.submitted(number, prediction)
    else:
        calls = {"refused": ledger.refused, "unknown": ledger.unknown, "held": ledger.hold}
        calls.get(state, ledger.never_sent)(number, "why")


class Anything(RuleBasedStateMachine):
    """Calls in any order, beside a model of them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=FOLDER)
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)
        self.ledger = open_ledger(f"sqlite:///{self.folder}/assetline.db", clock=lambda: self.now)
        self.told: dict[int, Told] = {}

    def teardown(self) -> None:
        self.check_all()
        self.ledger.close()
        shutil.rmtree(self.folder)

    def charged(self, **wanted: str) -> int:
        found = [one for one in self.told.values() if all(getattr(one, name) == v for name, v in wanted.items())]
        return sum(one.charged for one in found)

    @rule(hours=st.integers(1, 20))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(key=names, campaign=names, run=names, usd=amounts, each=st.tuples(caps, caps, caps))
    def reserve(self, key: str, campaign: str, run: str, usd: float, each: tuple[float | None, ...]) -> None:
        limits, day, wanted = Caps(*each), self.now.date().isoformat(), to_reserve(usd)
        counted = (self.charged(campaign=campaign, run=run), self.charged(campaign=campaign), self.charged(day=day))
        fits = all(cap is None or spent + wanted <= to_cap(cap) for cap, spent in zip(each, counted, strict=True))
        unfinished = [number for number, one in self.told.items() if one.key == key and one.state in OPEN]
        try:
            attempt = self.ledger.reserve(intent(key, usd, campaign=campaign, run_id=run), limits)
        except AttemptOpen as error:
            bars = error.attempt.id
            assert [bars] == unfinished
        except BudgetRefused:
            assert not fits
            assert not unfinished
        else:
            assert fits
            assert not unfinished
            assert sum(one.key == key for one in self.told.values()) + 1 == attempt.number
            self.told[attempt.id] = Told(key, campaign, run, day, wanted)

    @precondition(lambda self: self.told)
    @rule(data=st.data(), state=st.sampled_from(sorted(MAY)), usd=amounts, prediction=st.sampled_from("pqr"))
    def step(self, data: st.DataObject, state: str, usd: float, prediction: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.told)))
        one = self.told[number]
        cost = to_cost(usd) if state in SETTLED else 0 if state in ("refused", "released") else None
        again = one.state == state != "submitting" and one.cost == cost
        again = again and (state != "submitted" or one.prediction == prediction)
        taken = any(other.prediction == prediction for key, other in self.told.items() if key != number)
        try:
            take(self.ledger, number, state, usd, prediction)
        except IllegalStep:
            assert one.state not in MAY[state]
            assert not again
        except PredictionTaken:
            assert (state, True) == ("submitted", taken)
        else:
            assert again or one.state in MAY[state]
            assert state != "submitted" or not taken
            if not again:
                one.state, one.cost, one.entries = state, cost, one.entries + 1
                one.prediction = prediction if state == "submitted" else one.prediction

    @invariant()
    def the_ledger_says_the_same(self) -> None:
        spent = self.ledger.spent()
        settled = sum(one.cost for one in self.told.values() if one.cost is not None)
        assert settled == round(spent.settled_usd * 1e6)
        assert self.charged() - settled == round(spent.reserved_usd * 1e6)
        unfinished = {number: one.state for number, one in self.told.items() if one.state in OPEN}
        found = self.ledger.open_attempts()
        assert unfinished == {attempt.id: attempt.state for attempt in found}
        assert len(found) == len({attempt.request_key for attempt in found})

    def check_all(self) -> None:
        """At the end, every attempt is what the test knows of it."""
        for number, one in self.told.items():
            attempt = self.ledger.get(number)
            assert attempt is not None
            assert (one.state, one.prediction) == (attempt.state, attempt.prediction_id)
            history = self.ledger.history(number)
            assert (one.entries, one.state) == (len(history), history[-1].state)


def test_caps_hold_and_no_picture_has_two_open_attempts_in_any_order_of_calls() -> None:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    told_at_once = [phase for phase in Phase if phase not in {Phase.shrink, Phase.explain}]  # shrinking takes minutes
    few = settings(
        max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=slow, phases=told_at_once
    )
    run_state_machine_as_test(Anything, settings=few)


def test_from_each_state_only_the_steps_of_the_protocol_lead_on_and_any_other_changes_nothing() -> None:
    ways = {"intent": (), "submitting": ("submitting",), "submitted": ("submitting", "submitted")}
    ways |= {state: ("submitting", state) for state in ("refused", "unknown", "released", "held")}
    ways |= {state: ("submitting", "submitted", state) for state in SETTLED}
    found = set()
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        ledger = open_ledger(f"sqlite:///{folder}/assetline.db")
        for before, way in ways.items():
            for after in sorted(MAY.keys() - {before}):
                number = ledger.reserve(intent(f"{before} {after}"), Caps()).id
                for state in way:
                    take(ledger, number, state, 0.01, f"p{number}")
                known, entries = ledger.get(number), ledger.history(number)
                try:
                    take(ledger, number, after, 0.02, f"p{number}")
                except IllegalStep:
                    assert (known, entries) == (ledger.get(number), ledger.history(number))
                else:
                    found.add((before, after))
        ledger.close()
    assert {(before, after) for after, befores in MAY.items() for before in befores} == found


@pytest.mark.parametrize(("usd", "micros"), [(0.1, 100_000), (0.0000001, 1), (0.29, 290_000), (1e-9, 1), (0, 0)])
def test_a_reservation_is_rounded_up(usd: float, micros: int) -> None:
    assert micros == to_reserve(usd)


def test_a_cap_is_rounded_down_and_a_cost_to_the_nearest() -> None:
    assert (290_000, 0, 1) == (to_cap(0.2900009), to_cap(0.0000009), to_cost(0.0000009))
