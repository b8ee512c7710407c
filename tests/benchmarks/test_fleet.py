"""The fleet benchmark tells the truth: its bounds are bounds, its workers are the same for all, nothing is lost."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.fleet import KNOWN, STATED, UNKNOWN, Table, makespan
from benchmarks.fleet_bound import tight_bound
from benchmarks.fleet_rules import FETCH_S, RULES, Fleet
from benchmarks.fleet_traces import SCENARIOS, Request, Trace, lower_bound, steady

ONE_WORKER = Trace(0, (0.5,), (2.0,), (7.0,), (Request(0.0, 0),) * 10, ((),))


def small(kind: str, seed: int) -> Trace:
    """A trace with at most 100 requests, so that a test takes milliseconds."""
    trace = SCENARIOS[kind](seed)
    return replace(trace, requests=trace.requests[:: 1 + len(trace.requests) // 100])


def test_a_trace_is_the_same_whenever_it_is_made() -> None:
    assert [make(3) for make in SCENARIOS.values()] == [make(3) for make in SCENARIOS.values()]


def test_traces_are_as_stated() -> None:
    for trace in map(steady, range(50)):
        assert 2 <= len(trace.speeds) <= 32
        assert all(0.25 <= speed <= 2 for speed in trace.speeds)
        assert 1 <= len(trace.seconds) == len(trace.loads) <= 6
        assert all(1 <= seconds <= 6 for seconds in trace.seconds)
        assert all(5 <= seconds <= 25 for seconds in trace.loads)
        assert 100 <= len(trace.requests) <= 800


def test_some_workers_fail_but_never_all() -> None:
    for trace in map(SCENARIOS["failing"], range(50)):
        assert 1 <= sum(bool(outages) for outages in trace.outages) < len(trace.speeds)


@pytest.mark.parametrize("rule", RULES)
def test_one_worker_takes_as_long_under_every_rule_as_under_the_dispatcher(rule: str) -> None:
    """A load, ten pictures at half speed, and the last one fetched: nobody can do better or worse."""
    expected = 7 + 10 * 4 + FETCH_S
    assert expected == pytest.approx(Fleet(ONE_WORKER, RULES[rule]).run())
    assert expected == pytest.approx(makespan(ONE_WORKER, known=True))


def test_the_bounds_of_one_worker_are_what_it_takes() -> None:
    assert 7 + 10 * 4 == pytest.approx(lower_bound(ONE_WORKER), rel=0.001)
    assert 7 + 10 * 4 == pytest.approx(tight_bound(ONE_WORKER), rel=0.001)


def test_a_bound_counts_only_the_time_in_which_a_worker_is_up() -> None:
    """Up for 27 s (a load and five pictures), down for 100 s, then a load again and the rest."""
    trace = replace(ONE_WORKER, outages=(((27.0, 127.0),),))
    assert 127 + 7 + 5 * 4 == pytest.approx(lower_bound(trace), rel=0.001)


def test_a_bound_counts_what_can_only_begin_when_it_comes() -> None:
    late = (*(Request(0.0, 0),) * 2, *(Request(100.0, 0),) * 8)
    assert 100 + 8 * 4 == pytest.approx(lower_bound(replace(ONE_WORKER, requests=late)), rel=0.001)


@pytest.mark.parametrize("kind", SCENARIOS)
def test_nobody_comes_below_the_bound_and_nothing_is_lost(kind: str) -> None:
    """`makespan` raises if a picture is missing."""
    for trace in (small(kind, seed) for seed in range(4)):
        bound = lower_bound(trace)
        ends = [makespan(trace, known=True), makespan(trace, known=False)]
        ends += [Fleet(trace, rule).run() for rule in RULES.values()]
        assert all(bound <= end < math.inf for end in ends)


def test_nobody_comes_below_the_tighter_bound() -> None:
    for trace in (small("steady", seed) for seed in range(4)):
        assert tight_bound(trace) <= min(makespan(trace, known=True), *(Fleet(trace, r).run() for r in RULES.values()))


def test_the_dispatcher_decides_the_same_each_time() -> None:
    trace = small("failing", 1)
    assert makespan(trace, known=False) == makespan(trace, known=False)


def test_the_dispatcher_is_near_the_bound_and_before_the_rules() -> None:
    traces = [small("steady", seed) for seed in range(6)]
    ends = [makespan(trace, known=True) for trace in traces]
    assert all(end <= 1.12 * tight_bound(trace) for end, trace in zip(ends, traces, strict=True))
    for rule in RULES.values():
        assert all(end <= Fleet(trace, rule).run() for end, trace in zip(ends, traces, strict=True))


def test_the_table_says_how_often_a_rule_was_no_better() -> None:
    seconds = {KNOWN: [10.0, 10.0, 10.0, 12.0], UNKNOWN: [10.0] * 4, "rule": [20.0, 10.0, 15.0, 11.0]}
    table = Table("steady", seconds, {STATED: [10.0] * 4})
    assert {"median": 1.3, "p90": 1.85, "worst": 2.0} == table.line("rule", STATED)
    assert (0.75, 1.0) == (table.no_worse("rule", KNOWN), table.no_worse("rule", UNKNOWN))
