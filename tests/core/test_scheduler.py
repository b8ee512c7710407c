"""Who takes what: the choice alone, with lanes and requests as numbers and a clock that the test moves."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from math import inf

import pytest

from assetline.dispatch.scheduler import LEAST_STREAK, LOADS_IN_STREAK, Scheduler
from assetline.dispatch.situation import Group, LaneState, Situation
from assetline.dispatch.speeds import Speed, Speeds
from assetline.plan.assignment import Rest, Shares, assign

LOAD_S = 10.0


def known(load_s: float = LOAD_S, **seconds: float) -> Speeds:
    """Lanes by name with their seconds a picture, the same for affinities a, b and c."""
    return Speeds(Speed(lane, affinity, s, load_s, samples=9) for lane, s in seconds.items() for affinity in "abc")


def group(affinity: str, count: int, *lanes: str, **fields) -> Group:
    values = {"priority": 0, "oldest": 0, "since": 0.0} | fields
    return Group(lanes=frozenset(lanes), affinity=affinity, count=count, **values)


def ask(speeds: Speeds, lane: str, lanes: list[LaneState], groups: list[Group], now: float = 0.0) -> str | None:
    """The affinity that `lane` is given first."""
    asking = next(one for one in lanes if one.name == lane)
    chosen = Scheduler(speeds).choose(asking, now, lambda: Situation(groups, lanes))
    return chosen and chosen.affinity


class Fleet:
    """Plays a situation to its end, one picture at a time on each lane. `log` holds (start, end, lane, affinity)."""

    def __init__(self, speeds: Speeds, lanes: list[LaneState], groups: list[Group]) -> None:
        self.speeds, self.scheduler = speeds, Scheduler(speeds)
        self.lanes = {lane.name: lane for lane in lanes}
        self.groups = groups
        self.log: list[tuple[float, float, str, str]] = []
        self.plans = 0

    def play(self) -> float:
        """Until nothing waits; when the last picture is made."""
        asked_at = {name: lane.free_at for name, lane in self.lanes.items()}
        while self.groups:
            name = min(asked_at, key=lambda name: asked_at[name])
            asked_at[name] = self.ask(name, asked_at[name])
        return max(end for _, end, _, _ in self.log)

    def ask(self, name: str, now: float) -> float:
        """Let the lane take what it is given; when it is to be asked again."""
        lane = replace(self.lanes[name], free_at=now)
        chosen = self.scheduler.choose(lane, now, lambda: self.look(now))
        if chosen is None:
            return now + 1.0
        load = 0.0 if chosen.affinity == lane.loaded else self.speeds.load_seconds(name, chosen.affinity)
        end = now + load + self.speeds.seconds(name, chosen.affinity)
        self.lanes[name] = replace(lane, free_at=end, loaded=chosen.affinity)
        self.groups = [
            replace(one, count=one.count - 1, oldest=one.oldest + 1, since=now) if one.key == chosen.key else one
            for one in self.groups
        ]
        self.groups = [one for one in self.groups if one.count]
        self.log.append((now, end, name, chosen.affinity))
        return end

    def look(self, now: float) -> Situation:
        self.plans += 1
        lanes = [replace(lane, free_at=max(now, lane.free_at)) for lane in self.lanes.values()]
        return Situation(self.groups, lanes)

    def made(self, lane: str) -> list[str]:
        return [affinity for _, _, name, affinity in self.log if name == lane]


def free(*names: str, loaded: str = "") -> list[LaneState]:
    return [LaneState(name, 0.0, loaded) for name in names]


# --- affinity


def test_a_lane_prefers_what_it_has_loaded() -> None:
    lanes = [LaneState("x", 0.0, "b"), LaneState("y", 0.0, "a")]
    groups = [group("a", 20, "x", "y"), group("b", 20, "x", "y")]
    speeds = known(x=1.0, y=1.0)
    assert ("b", "a") == (ask(speeds, "x", lanes, groups), ask(speeds, "y", lanes, groups))


def test_a_load_happens_on_the_lane_where_it_costs_least() -> None:
    """Ten seconds of a slow lane are fewer pictures than ten seconds of a fast one."""
    fleet = Fleet(known(fast=1.0, slow=4.0), free("fast", "slow", loaded="a"), [
        group("a", 200, "fast", "slow"), group("b", 5, "fast", "slow"),
    ])  # fmt: skip
    fleet.play()
    assert {"a"} == set(fleet.made("fast"))
    assert 5 == fleet.made("slow").count("b")


def test_each_model_is_loaded_no_more_often_than_it_must() -> None:
    fleet = Fleet(known(x=1.0, y=1.0, z=1.0), free("x", "y", "z"), [
        group("a", 50, "x", "y", "z"), group("b", 50, "x", "y", "z"), group("c", 50, "x", "y", "z"),
    ])  # fmt: skip
    assert LOAD_S + 50 == fleet.play()
    assert [1, 1, 1] == [len(set(fleet.made(lane))) for lane in "xyz"]


def test_a_load_is_never_taken_ahead() -> None:
    """Much can change until the lane is free; all that it would save is the way to the worker."""
    busy = [LaneState("x", 5.0, "a", holds=1)]
    speeds = known(x=5.0)
    assert ask(speeds, "x", busy, [group("b", 3, "x")]) is None
    assert "a" == ask(speeds, "x", busy, [group("a", 3, "x")])
    assert "b" == ask(speeds, "x", [LaneState("x", 5.0, "a")], [group("b", 3, "x")], now=5.0)


def test_nothing_waits_for_ever_for_a_lane_that_is_busy_with_something_else() -> None:
    """`a` never ends, since new ones come; `b` has its turn all the same, and then `a` again."""
    load_s = 2.0
    groups = [group("a", 2000, "x"), group("b", 500, "x", oldest=1)]
    fleet = Fleet(known(load_s=load_s, x=1.0), free("x", loaded="a"), groups)
    while len(fleet.log) < 1000:
        fleet.ask("x", fleet.lanes["x"].free_at)
    runs = [(affinity, len(list(run))) for affinity, run in itertools.groupby(fleet.made("x"))]
    assert ["a", "b"] == [affinity for affinity, _ in runs[:2]]
    most = max(LEAST_STREAK, LOADS_IN_STREAK * load_s)
    assert most * 0.9 <= max(length for _, length in runs) <= most + 1


def test_where_loads_take_no_time_a_lane_changes_after_a_few_pictures() -> None:
    fleet = Fleet(known(load_s=0.0, x=1.0), free("x", loaded="a"), [group("a", 90, "x"), group("b", 90, "x")])
    fleet.play()
    assert LEAST_STREAK == fleet.made("x").index("b")


# --- speed and the tail


def test_the_last_request_waits_for_the_lane_that_ends_it_soonest() -> None:
    lanes = [LaneState("fast", 2.0, "a"), LaneState("slow", 0.0, "a")]
    speeds, last = known(fast=1.0, slow=9.0), [group("a", 1, "fast", "slow")]
    assert ask(speeds, "slow", lanes, last) is None
    assert "a" == ask(speeds, "fast", lanes, last, now=2.0)


def test_a_lane_that_was_told_to_wait_is_given_it_when_the_other_does_not_come() -> None:
    """The fast lane hangs: what it holds has been late for longer than the slow one needs."""
    scheduler, last = Scheduler(known(fast=1.0, slow=9.0)), [group("a", 1, "fast", "slow")]
    slow = LaneState("slow", 0.0, "a")
    answers = []
    for now, fast_free_at in ((0.0, 2.0), (2.0, 4.0), (30.0, 44.0)):
        lanes = [LaneState("fast", fast_free_at, "a", holds=1), replace(slow, free_at=now)]
        answers.append(scheduler.choose(lanes[1], now, lambda found=lanes: Situation(last, found)))
    assert [None, None, last[0]] == answers


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 40, 100])
@pytest.mark.parametrize("times", [3, 8])
def test_a_slower_card_never_ends_last_by_more_than_one_picture(count: int, times: int) -> None:
    lanes = [*free("x", "y", "slow", loaded="a")]
    fleet = Fleet(known(x=1.0, y=1.0, slow=1.0 * times), lanes, [group("a", count, "x", "y", "slow")])
    fleet.play()
    ends = {name: max((end for _, end, lane, _ in fleet.log if lane == name), default=0.0) for name in fleet.lanes}
    assert ends["slow"] <= max(ends["x"], ends["y"]) + 1.0, "one picture of the others, not of its own"


def test_a_lane_of_which_nothing_is_known_gets_one_request_until_that_has_ended() -> None:
    groups = [group("a", 100, "new", "other")]
    begun = [LaneState("new", 15.0, "a", holds=1), LaneState("other", 0.0, "a")]
    assert "a" == ask(Speeds(), "new", [LaneState("new", 0.0, ""), begun[1]], groups)
    assert ask(Speeds(), "new", begun, groups) is None
    assert "a" == ask(known(new=1.0, other=1.0), "new", begun, groups)


def test_a_lane_that_is_alone_has_one_ahead_though_nothing_is_known_of_it() -> None:
    assert "a" == ask(Speeds(), "new", [LaneState("new", 15.0, "a", holds=1)], [group("a", 100, "new")])


def test_a_lane_with_many_slots_at_once_fills_them_all() -> None:
    lane = LaneState("fpo", 0.0, "", holds=3, at_once=4)
    assert "" == ask(Speeds(), "fpo", [lane], [group("", 100, "fpo")])


# --- priority, and what only some lanes can make


def test_priority_goes_before_what_is_loaded() -> None:
    groups = [group("a", 100, "x"), group("b", 1, "x", priority=5)]
    assert "b" == ask(known(x=1.0), "x", free("x", loaded="a"), groups)


def test_a_lane_that_an_urgent_request_does_not_need_goes_on_with_the_rest() -> None:
    lanes = [LaneState("x", 0.0, "b"), LaneState("y", 0.0, "a")]
    groups = [group("a", 100, "x", "y"), group("b", 1, "x", "y", priority=5)]
    speeds = known(x=1.0, y=1.0)
    assert ("b", "a") == (ask(speeds, "x", lanes, groups), ask(speeds, "y", lanes, groups))


def test_what_only_one_lane_can_make_keeps_that_one_from_the_rest() -> None:
    fleet = Fleet(known(poor=1.0, rich=1.0), free("poor", "rich", loaded="a"), [
        group("a", 60, "poor", "rich"), group("b", 50, "rich"),
    ])  # fmt: skip
    assert 60 <= fleet.play() <= 61
    assert fleet.made("rich").count("b") == 50


def test_what_no_lane_that_is_up_can_make_is_left_alone() -> None:
    groups = [group("a", 5, "down"), group("b", 5, "up")]
    assert "b" == ask(known(up=1.0), "up", free("up"), groups)
    assert ask(known(up=1.0), "up", free("up"), groups[:1]) is None


# --- plans


def test_a_plan_is_kept_as_long_as_the_lanes_keep_to_it() -> None:
    fleet = Fleet(known(x=1.0, y=2.0), free("x", "y"), [group("a", 150, "x", "y"), group("b", 150, "x", "y")])
    fleet.play()
    assert fleet.plans <= 4


def test_what_was_learned_changes_the_plan() -> None:
    speeds = known(x=1.0, y=1.0)
    fleet = Fleet(speeds, free("x", "y", loaded="a"), [group("a", 100, "x", "y")])
    for _ in range(5):
        speeds.note("y", "a", 4.0, loaded=False)
    fleet.play()
    assert (80, 20) == (len(fleet.made("x")), len(fleet.made("y")))


def test_a_lane_that_falls_behind_is_relieved() -> None:
    """It takes three times as long as it is known for; its share goes to the other one."""
    fleet = Fleet(known(x=1.0, y=1.0), free("x", "y", loaded="a"), [group("a", 60, "x", "y")])
    asked_at = {"x": 0.0, "y": 0.0}
    while fleet.groups:
        name = min(asked_at, key=lambda name: asked_at[name])
        now = asked_at[name]
        asked_at[name] = now + (fleet.ask(name, now) - now) * (3 if name == "y" else 1)
    assert 44 <= len(fleet.made("x"))


# --- the assignment


def random_rest(seed: int) -> Rest:
    chance = random.Random(seed)
    lanes, groups = chance.randint(2, 3), chance.randint(1, 2)
    return Rest(
        free=[chance.uniform(0, 5) for _ in range(lanes)],
        seconds=[
            [inf if lane and chance.random() < 0.2 else chance.uniform(1, 8) for _ in range(groups)]
            for lane in range(lanes)
        ],
        loads=[[chance.choice([0.0, chance.uniform(5, 20)]) for _ in range(groups)] for _ in range(lanes)],
        counts=[chance.randint(1, 9) for _ in range(groups)],
    )


def end_of(rest: Rest, shares: Shares) -> float:
    return max(rest.end(lane, share) for lane, share in enumerate(shares))


def best_end(rest: Rest) -> float:
    """By trying everything."""
    lanes = len(rest.free)
    splits = [[s for s in itertools.product(range(n + 1), repeat=lanes) if sum(s) == n] for n in rest.counts]
    return min(
        end_of(rest, [list(share) for share in zip(*chosen, strict=True)]) for chosen in itertools.product(*splits)
    )


def test_shares_add_up_and_nobody_makes_what_it_must_not() -> None:
    for seed in range(200):
        rest = random_rest(seed)
        shares = assign(rest)
        assert list(rest.counts) == [sum(column) for column in zip(*shares, strict=True)]
        assert end_of(rest, shares) < inf


def test_small_fleets_are_shared_out_nearly_as_well_as_can_be() -> None:
    losses = sorted(end_of(rest, assign(rest)) / best_end(rest) - 1 for rest in map(random_rest, range(60)))
    assert losses[int(0.95 * len(losses))] < 0.02
