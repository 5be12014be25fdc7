"""Writes to the demo CRM at random, as many as commit being counted, until it is killed."""

from __future__ import annotations

import random
import time
from multiprocessing.sharedctypes import Synchronized

from crm_ops.base import database, errors, sql

_STATEMENTS = (
    "UPDATE crm.lead SET status = (ARRAY['new', 'contacted', 'lost'])[1 + id %% 3], score = %(b)s"
    " WHERE id %% 199 = %(a)s %% 199",
    "UPDATE crm.deal SET amount = amount + %(b)s, stage = 'won' WHERE id %% 97 = %(a)s %% 97",
    "UPDATE crm.deal SET amount = NULL WHERE id %% 499 = %(a)s %% 499",
    "UPDATE crm.lead SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END"
    " WHERE id %% 151 = %(a)s %% 151",
    "DELETE FROM crm.lead_tag WHERE lead_id %% 83 = %(a)s %% 83",
    "DELETE FROM crm.contact WHERE id %% 997 = %(a)s %% 997",
    "UPDATE crm.account SET industry = NULL, annual_revenue = %(b)s WHERE id %% 89 = %(a)s %% 89",
)


def forever(url: str, seed: int, committed: Synchronized[int]) -> None:
    """Write; every fifth transaction is given up, and a server that is gone is waited for."""
    engine = database.engine(url)
    chance = random.Random(seed)
    while True:
        keep = chance.random() > 0.2
        try:
            with database.transaction(engine, keep=keep) as connection:
                for _ in range(chance.randint(1, 4)):
                    text = chance.choice(_STATEMENTS)
                    values = {"a": chance.randrange(10_000), "b": chance.randrange(100)}
                    sql.run(connection, text, values)
        except errors.CrmOpsError:
            engine.dispose()
            time.sleep(0.2)
        else:
            with committed.get_lock():
                committed.value += keep
        time.sleep(chance.random() / 50)
