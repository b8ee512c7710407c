"""How long lanes are said to take: by what was seen of them, of others, and of what a service may begin."""

from __future__ import annotations

import pytest

from assetline.ledger_records import Speed
from assetline.plan import Pace
from assetline.plan.pace import AT_ONCE, LATE, LEAST_SECONDS, ratios_and_bases, service_seconds

EVERY_S, MOST = LEAST_SECONDS["replicate"], AT_ONCE["replicate"]


def seen(**seconds: float) -> dict[tuple[str, str], tuple[float, int]]:
    """Nine pictures of each: `gpu1_xl=4.0`."""
    return {(name.split("_")[0], name.split("_")[1]): (value, 9) for name, value in seconds.items()}


def test_a_lane_that_shares_nothing_with_another_is_compared_by_those_between() -> None:
    """c is twice as slow as b, which is twice as slow as a; a and c have no model in common."""
    ratios, bases = ratios_and_bases(seen(a_x=1.0, b_x=2.0, b_y=6.0, c_y=12.0))
    assert (2.0, 2.0) == pytest.approx((ratios["b"] / ratios["a"], ratios["c"] / ratios["b"]))
    assert 3.0 == pytest.approx(bases["y"] / bases["x"])
    assert 1.0 == pytest.approx(ratios["b"]), "the usual lane's"


def test_what_was_seen_often_counts_more_than_what_was_seen_once() -> None:
    pairs = seen(a_x=1.0, b_x=2.0) | {("a", "y"): (1.0, 1), ("b", "y"): (8.0, 1)}
    ratios, _ = ratios_and_bases(pairs)
    assert 2.0 < ratios["b"] / ratios["a"] < 2.5


def test_nothing_seen_is_nothing_known() -> None:
    assert ({}, {}) == ratios_and_bases({})
    assert Pace().seconds("gpu1", "xl") is None


def test_a_lane_s_speed_with_a_model_that_it_has_not_made_is_that_of_others_as_it_does_the_rest() -> None:
    pace = Pace([Speed("a", "x", 2.0, None, 9), Speed("b", "x", 8.0, None, 9), Speed("a", "y", 3.0, None, 9)])
    assert 12.0 == pytest.approx(pace.seconds("b", "y"))


def test_a_model_at_replicate_has_its_own_speed_and_nothing_loads() -> None:
    pace = Pace([Speed("replicate", "flux", 1.5, None, 9), Speed("replicate", "imagen", 12.0, 9.0, 9)])
    assert [(1.5, True), (12.0, True)] == [
        pace.picture_seconds("replicate", "replicate", model) for model in ("flux", "imagen")
    ]
    assert 0.0 == pace.load_seconds("replicate", "imagen")
    assert (8.0, False) == pace.picture_seconds("replicate", "replicate", "new"), "a guess, whatever others take"


def test_speeds_that_an_earlier_version_kept_of_the_lane_alone_say_nothing_of_a_model() -> None:
    assert (8.0, False) == Pace([Speed("replicate", "", 3.0, None, 99)]).picture_seconds("replicate", "replicate", "x")


def test_many_short_predictions_take_as_long_as_they_may_be_begun_in() -> None:
    assert service_seconds([(1.0, 1.5, 900)], "replicate") == pytest.approx(899 * EVERY_S + 1.5)


def test_long_ones_take_as_long_as_so_many_at_once_need() -> None:
    assert service_seconds([(60.0, 65.0, 4 * MOST)], "replicate") == pytest.approx(4 * 60, rel=0.15)


def test_a_few_long_ones_begin_one_after_the_other_and_end_together() -> None:
    assert service_seconds([(60.0, 70.0, 10)], "replicate") == pytest.approx(9 * EVERY_S + 70)


def test_long_ones_end_while_the_short_ones_behind_them_are_made() -> None:
    assert service_seconds([(20.0, 25.0, 5), (1.0, 2.0, 400)], "replicate") == pytest.approx(404 * EVERY_S + 2.0)


def test_no_pictures_no_time() -> None:
    assert 0.0 == service_seconds([], "replicate")


def test_what_a_service_takes_says_nothing_of_the_cards_in_the_office() -> None:
    service = [Speed("replicate", model, 1.5, None, 50) for model in ("flux", "imagen", "ideogram", "lora")]
    pace = Pace([Speed("gpu1", "sdxl", 20.0, 5.0, 50), *service])
    assert [20.0, 20.0] == [pytest.approx(pace.seconds("gpu1", affinity)) for affinity in ("new", "lora")]
    assert None is pace.seconds("gpu2", "lora")


def test_how_slow_the_last_ones_are_is_taken_from_what_was_seen_and_guessed_only_where_nothing_was() -> None:
    pace = Pace(
        [Speed("replicate", "flux", 12.0, None, 40, slow_seconds=17.0), Speed("replicate", "sdxl", 4.0, None, 1)]
    )
    assert [17.0, LATE * 4.0, LATE * 8.0] == [
        pace.slow_seconds("replicate", "replicate", model) for model in ("flux", "sdxl", "new")
    ]
