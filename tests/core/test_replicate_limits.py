"""How the Replicate lane holds back: rates, answers of 429, a model that fails again and again. On virtual time."""

from __future__ import annotations

import asyncio

import pytest
from fakes.virtual_time import run_virtual

from assetline.backends.replicate.limits import ModelBreaker, RateLimit, delay_of
from assetline.backends.replicate.options import Clock
from assetline.errors import PaidJobFailed


def now() -> float:
    return asyncio.get_running_loop().time()


CLOCK = Clock(now=now)


async def moments(limit: RateLimit, count: int) -> list[float]:
    """When each of `count` that come at once gets its turn."""
    began = now()

    async def one() -> float:
        await limit.take()
        return round(now() - began, 6)

    return await asyncio.gather(*(one() for _ in range(count)))


def test_a_rate_lets_a_few_through_at_once_and_the_others_one_by_one() -> None:
    async def main() -> list[float]:
        return await moments(RateLimit(2.0, 3, CLOCK), 6)

    assert [0, 0, 0, 0.5, 1.0, 1.5] == run_virtual(main())


def test_a_minute_never_has_more_than_its_share() -> None:
    async def main() -> list[float]:
        return await moments(RateLimit(9.5, 3, CLOCK), 700)

    taken = run_virtual(main())
    assert 575 > max(sum(start <= other < start + 60 for other in taken) for start in taken)


def test_throttled_all_wait_then_go_at_half_the_rate_and_get_faster_again() -> None:
    async def main() -> tuple[list[float], list[float]]:
        limit = RateLimit(2.0, 3, CLOCK)
        limit.slow_down(10)
        limit.slow_down(4)
        first = await moments(limit, 3)
        rates = [limit.per_s]
        for _ in range(10):
            limit.went_well()
            rates.append(limit.per_s)
        return first, rates

    first, rates = run_virtual(main())
    assert [10, 11, 12] == first
    assert (1.0, 2.0) == (rates[0], rates[-1])
    assert sorted(rates) == rates


def test_a_storm_of_429_goes_down_to_six_a_minute_and_not_further() -> None:
    async def main() -> float:
        limit = RateLimit(9.5, 3, CLOCK)
        for _ in range(20):
            limit.slow_down(1)
            await asyncio.sleep(2)
        return limit.per_s

    assert 0.1 == run_virtual(main())


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, {}, 5),
        ({"Retry-After": "7"}, {}, 7),
        ({"Retry-After": "7"}, {"retry_after": 9}, 9),
        ({"Retry-After": "7"}, {"detail": "Request was throttled. Your rate limit resets in ~30s."}, 30),
        ({"Retry-After": "3600"}, {}, 120),
        ({"Retry-After": "-1"}, {}, 5),
        ({"Retry-After": "soon"}, {"retry_after": "much"}, 5),
        ({"Retry-After": "Sun, 22 Nov 2026 09:00:20 GMT", "Date": "Sun, 22 Nov 2026 09:00:00 GMT"}, {}, 20),
        ({}, {"detail": "reduced to 6 requests per minute with a burst of 1 requests while"}, 5),
    ],
)
def test_the_longest_pause_that_an_answer_names_is_kept_up_to_a_limit(headers, body, expected) -> None:
    assert expected == delay_of(headers, body)


def test_a_model_that_fails_four_times_in_a_row_rests_and_then_one_tries() -> None:
    async def main() -> list[tuple[float, bool]]:
        breaker = ModelBreaker("fox", CLOCK)
        for _ in range(4):
            breaker.note(failed=True)

        async def one() -> tuple[float, bool]:
            trying = await breaker.admit()
            moment = now()
            if trying:
                await asyncio.sleep(5)
                breaker.note(failed=False)
            return moment, trying

        return await asyncio.gather(*(one() for _ in range(3)))

    found = run_virtual(main())
    assert [(30.0, True)] == [one for one in found if one[1]]
    assert [False, False] == [moment < 35 for moment, trying in found if not trying]


def test_a_success_between_failures_counts_from_the_beginning() -> None:
    async def main() -> bool:
        breaker = ModelBreaker("fox", CLOCK)
        for failed in (True, True, True, False, True, True, True):
            breaker.note(failed=failed)
        return await breaker.admit()

    assert not run_virtual(main())


def test_a_model_that_never_comes_back_is_given_up_with_a_reason() -> None:
    async def main() -> float:
        breaker = ModelBreaker("fox", CLOCK)
        for _ in range(3):
            breaker.note(failed=True)
        for _ in range(3):
            breaker.note(failed=True)
            assert await breaker.admit()
        breaker.note(failed=True)
        with pytest.raises(PaidJobFailed, match=r"fox at Replicate.*given up.*Run again later"):
            await breaker.admit()
        return now()

    assert 30 + 60 + 120 <= run_virtual(main())
