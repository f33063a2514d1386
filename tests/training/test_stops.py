"""SIGTERM waits for the end of a step."""

import os
import signal

import pytest

from toolkit.training import stops


class Told(BaseException):
    pass


@pytest.fixture
def _raising():
    def handler(number, frame):
        raise Told

    before = signal.signal(signal.SIGTERM, handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_raising")
def test_it_waits_until_the_step_obeys():
    with pytest.raises(Told), stops.delayed():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stops.asked()
        stops.obey()
        pytest.fail("it went on")
    assert not stops.asked()
    with pytest.raises(Told):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.usefixtures("_raising")
def test_it_waits_no_longer_than_the_training():
    reached = False
    with pytest.raises(Told):
        with stops.delayed():
            os.kill(os.getpid(), signal.SIGTERM)
            reached = True
    assert reached and not stops.asked()
