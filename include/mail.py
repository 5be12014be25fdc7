"""Airflow's mail hook with bounded waits; imported only when there is something to send."""

from __future__ import annotations

from airflow.providers.smtp.hooks.smtp import SmtpHook

# For each step: to connect, to log in, to send.
_TIMEOUT_S = 10


class Mail(SmtpHook):
    """Airflow's hook, which would wait three minutes for a server that does not answer."""

    @property
    def timeout(self) -> int:
        """Seconds that each step may take."""
        return min(int(super().timeout), _TIMEOUT_S)

    @property
    def smtp_retry_limit(self) -> int:
        """What fails is tried again by the next evaluation."""
        return 0


__all__ = ["Mail"]
