"""Who finds all decoders at work waits for one that is free again, not for another to start."""

from __future__ import annotations

import sys
import threading

from resnet_demo.inputs.decoder_pool import DecoderPool

NEVER_READY = [sys.executable, "-c", "import sys; sys.stdin.read()"]  # until its pipe is closed


def test_a_decoder_that_is_free_again_serves_whoever_waits_for_another_to_start() -> None:
    pool = DecoderPool(seats=2)
    with pool._taken() as first:
        first.wait_until_ready()
    served = []

    def visitor() -> None:
        with pool._taken() as decoder:
            served.append(decoder)

    with pool._taken():
        pool.arguments = NEVER_READY
        waiting = threading.Thread(target=visitor)
        waiting.start()
        while len(pool.processes()) < 2:  # the one more is being started
            waiting.join(0.01)
        (coming,) = pool._coming
        assert served == []
    waiting.join(60)
    assert served == [first]
    coming.process.kill()
    while pool._coming:  # it is not counted any more
        waiting.join(0.01)
        coming.process.poll()
    assert pool.processes() == [first.process.pid]
    pool.close()


def test_the_one_that_was_started_serves_as_soon_as_it_is_ready() -> None:
    pool = DecoderPool(seats=2)
    with pool._taken() as first:
        first.wait_until_ready()
        with pool._taken() as second:  # the first stays at work
            assert second.ready and second is not first
        assert not pool._coming
    assert len(pool.processes()) == 2
    pool.close()
