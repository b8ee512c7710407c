"""What is learned from each picture that ends, and what is assumed of what has not been seen."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from assetline.dispatch.speeds import DEFAULT_LOAD_SECONDS, DEFAULT_SECONDS, Speed, Speeds


def learned(*pictures: tuple[str, str, float], load: Iterable[tuple[str, str, float]] = ()) -> Speeds:
    """Speeds that have seen first pictures with their `load`, then other `pictures`: lane, affinity, seconds."""
    speeds = Speeds()
    for lane, affinity, seconds in load:
        speeds.note(lane, affinity, seconds, loaded=True)
    for lane, affinity, seconds in pictures:
        speeds.note(lane, affinity, seconds, loaded=False)
    return speeds


def test_the_second_picture_tells_how_long_the_load_of_the_first_took() -> None:
    speeds = learned(("gpu1", "xl", 4.0), load=[("gpu1", "xl", 16.0)])
    assert (4.0, 12.0) == (speeds.seconds("gpu1", "xl"), speeds.load_seconds("gpu1", "xl"))


def test_a_later_load_is_what_it_took_longer_than_usual() -> None:
    speeds = learned(("gpu1", "xl", 4.0))
    speeds.note("gpu1", "xl", 13.0, loaded=True)
    assert (4.0, 9.0) == (speeds.seconds("gpu1", "xl"), speeds.load_seconds("gpu1", "xl"))


def test_a_load_that_is_known_from_elsewhere_is_taken_off_the_first_picture() -> None:
    speeds = learned(("gpu1", "xl", 4.0), load=[("gpu1", "xl", 16.0), ("gpu2", "xl", 32.0)])
    assert 20.0 == speeds.seconds("gpu2", "xl")


def test_a_few_outliers_change_nothing() -> None:
    times = [4.0, 4.1, 90.0, 3.9, 4.0, 75.0, 4.0, 60.0, 4.1]
    assert 4.0 <= learned(*(("gpu1", "xl", seconds) for seconds in times)).seconds("gpu1", "xl") <= 4.1


def test_an_affinity_that_a_lane_has_not_made_is_scaled_by_how_others_do_it() -> None:
    """gpu2 is half as fast as gpu1 with `small`; so it is with `large`."""
    speeds = learned(("gpu1", "small", 1.0), ("gpu2", "small", 2.0), ("gpu1", "large", 5.0))
    assert 10.0 == pytest.approx(speeds.seconds("gpu2", "large"))


def test_a_lane_of_which_nothing_is_known_is_as_fast_as_the_fleet() -> None:
    speeds = learned(("gpu1", "xl", 2.0), ("gpu2", "xl", 4.0), ("gpu3", "xl", 16.0))
    assert 4.0 == pytest.approx(speeds.seconds("new", "xl"))


def test_an_affinity_that_nobody_has_made_takes_what_others_take() -> None:
    speeds = learned(("gpu1", "small", 1.0), ("gpu1", "large", 5.0), ("gpu1", "mid", 3.0))
    assert 3.0 == pytest.approx(speeds.seconds("gpu1", "new"))


def test_where_nothing_is_known_at_all_there_is_a_default() -> None:
    assert (DEFAULT_SECONDS, DEFAULT_LOAD_SECONDS) == (
        Speeds().seconds("gpu1", "xl"),
        Speeds().load_seconds("gpu1", "xl"),
    )


def test_a_load_that_nobody_has_seen_is_not_taken_for_a_short_one() -> None:
    speeds = learned(("gpu1", "tiny", 1.0), load=[("gpu1", "tiny", 1.5)])
    assert DEFAULT_LOAD_SECONDS == speeds.load_seconds("gpu1", "huge")


def test_what_has_no_affinity_loads_nothing() -> None:
    speeds = Speeds()
    speeds.note("fpo", "", 0.2, loaded=True)
    assert (0.2, 0.0) == (speeds.seconds("fpo", ""), speeds.load_seconds("fpo", ""))


def test_no_lane_is_infinitely_fast() -> None:
    assert learned(("instant", "", 0.0)).seconds("instant", "") > 0


def test_rows_keep_what_was_learned_for_the_next_run() -> None:
    speeds = learned(("gpu1", "xl", 4.0), ("gpu2", "xl", 8.0), load=[("gpu1", "xl", 16.0), ("gpu3", "xl", 9.0)])
    rows = speeds.rows()
    assert [Speed("gpu1", "xl", 4.0, 12.0, 2), Speed("gpu2", "xl", 8.0, None, 1)] == sorted(rows, key=lambda r: r.lane)
    assert rows == Speeds(rows).rows()
    assert 8.0 == Speeds(rows).seconds("gpu2", "xl")


def test_a_card_that_was_changed_is_noticed_in_five_pictures() -> None:
    speeds = Speeds([Speed("gpu1", "xl", 8.0, 12.0, samples=5000)])
    for _ in range(5):
        speeds.note("gpu1", "xl", 2.0, loaded=False)
    assert 2.0 == speeds.seconds("gpu1", "xl")


def test_a_lane_is_known_once_a_picture_has_ended_on_it() -> None:
    speeds = learned(("gpu1", "xl", 4.0))
    assert (True, False) == (speeds.knows("gpu1"), speeds.knows("gpu2"))


def test_only_what_moves_an_estimate_asks_for_a_new_plan() -> None:
    speeds = learned(*[("gpu1", "xl", 4.0)] * 9)
    before = speeds.version
    speeds.note("gpu1", "xl", 4.05, loaded=False)
    speeds.note("gpu1", "xl", 400.0, loaded=False)
    assert before == speeds.version
    for _ in range(9):
        speeds.note("gpu1", "xl", 6.0, loaded=False)
    assert before + 1 == speeds.version


def test_what_a_service_takes_says_nothing_of_the_others_and_they_nothing_of_it() -> None:
    service = [Speed("service", model, 1.5, None, 50) for model in ("flux", "imagen", "ideogram", "lora")]
    speeds = Speeds([Speed("gpu1", "sdxl", 20.0, 5.0, 50), *service])
    speeds.loads_nothing("service")
    assert [20.0, 20.0] == [pytest.approx(speeds.seconds("gpu1", affinity)) for affinity in ("new", "lora")]
    assert [1.5, 1.5] == [speeds.seconds("service", affinity) for affinity in ("new", "sdxl")]


def test_the_next_run_is_told_what_all_pictures_took_not_the_last_nine() -> None:
    """Of many that a service makes at once the slow ones end last."""
    ends = [("service", "flux", seconds) for seconds in [10.0] * 25 + [12.0] * 50 + [14.0] * 25]
    assert [Speed("service", "flux", 12.0, None, 100, slow_seconds=14.0)] == learned(*ends).rows()


def test_the_next_run_is_told_the_mean_of_a_few_pictures_since_its_quote_adds_them_up() -> None:
    two, four = ([("gpu1", "xl", seconds) for seconds in some] for some in ((8.0, 12.0), (8.0, 9.0, 11.0, 12.0)))
    assert [10.0, 10.0] == [learned(*pictures).rows()[0].seconds for pictures in (two, four)]


def test_an_outlier_changes_nothing_of_what_the_next_run_is_told() -> None:
    times = [4.0] * 30 + [90.0] + [4.0] * 30
    row = learned(*(("gpu1", "xl", seconds) for seconds in times)).rows()[0]
    assert (4.0, None) == (row.seconds, row.slow_seconds)


def test_how_unlike_pictures_are_is_still_known_after_a_run_that_saw_few() -> None:
    speeds = Speeds([Speed("service", "flux", 12.0, None, 100, slow_seconds=17.0)])
    assert 17.0 == speeds.rows()[0].slow_seconds
    speeds.note("service", "flux", 12.0, loaded=False)
    assert (12.0, 17.0) == (speeds.rows()[0].seconds, speeds.rows()[0].slow_seconds)
