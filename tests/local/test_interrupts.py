from __future__ import annotations

import signal

import pytest

from crm_ops.local import interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_to_be_asked_to_end_reads_as_a_ctrl_c(number: signal.Signals) -> None:
    with interrupts.as_interrupt(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_was_ignored_stays_ignored_and_afterwards_all_is_as_before() -> None:
    of_term = signal.getsignal(signal.SIGTERM)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.as_interrupt():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == of_term
    finally:
        signal.signal(signal.SIGHUP, before)
