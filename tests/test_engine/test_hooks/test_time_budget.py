import pytest

from mixmae_mm.engine.hooks import time_budget
from mixmae_mm.engine.hooks.time_budget import TimeBudget


class Clock:
    """Time that passes only on request."""

    now = 50.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time_budget, 'perf_counter', clock)
    return clock


def test_rounds_space_themselves_out_to_their_share(clock):
    granted, given = [], TimeBudget(0.03)
    for epoch in range(1, 41):
        clock.wait(10)
        if given.affords_another():
            granted.append(epoch)
            with given.spending():
                clock.wait(2)
    # each round takes 2 s, which is 3 % of 67 s; two are 4 s of 134 s; the rounds themselves pass time as well
    assert granted == [1, 14, 20, 27, 33, 39]
    assert given.spent == 12
    assert given.spent <= 0.03 * given.elapsed


def test_the_first_round_is_always_granted_and_cheap_ones_always(clock):
    given = TimeBudget(0.03)
    for _ in range(20):
        assert given.affords_another()
        with given.spending():
            clock.wait(0.01)
        clock.wait(1)
    assert given.rounds == 20
    assert given.elapsed == pytest.approx(20.2)


def test_what_is_prepared_once_is_spent_but_not_expected_again(clock):
    given = TimeBudget(0.1)
    with given.preparing():
        clock.wait(5)
    with given.spending():
        clock.wait(1)
    assert (given.spent, given.last, given.rounds) == (6, 1, 1)
    clock.wait(63)
    assert not given.affords_another()  # 7 of 69
    clock.wait(1)
    assert given.affords_another()


def failing_round(given, clock):
    with given.spending():
        clock.wait(3)
        raise OSError('full')


def test_a_round_that_fails_counts(clock):
    given = TimeBudget(0.5)
    with pytest.raises(OSError, match='full'):
        failing_round(given, clock)
    assert (given.spent, given.last, given.rounds) == (3, 3, 1)
    assert not given.affords_another()
