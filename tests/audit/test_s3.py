"""An archive in S3 itself, as far as a server of its kind on this machine goes.

Skipped where it is not installed: its python-dateutil is older than that of our lock. In an
environment of its own, with `pip install s3fs 'moto[server]'`: `pytest -W ignore` of this file.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.audit import apply, archiving, inspection, query, restoration
from crm_ops.audit.months import Month
from crm_ops.audit.storage import Storage
from crm_ops.base import errors
from crm_ops.base.archive import Archive
from tests.audit import logs
from tests.audit.archives import policy
from tests.audit.logs import LOG, NOW
from tests.audit.test_archiving import FEBRUARY

pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")
boto3 = pytest.importorskip("boto3")

URL = "s3://audit/of-crm"


@pytest.fixture
def s3() -> Iterator[Any]:
    """A server with a bucket, and one user who may use it: opens the archive with a secret."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    nobody = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **nobody).create_bucket(Bucket="audit")
    iam = boto3.client("iam", endpoint_url=endpoint, **nobody)
    iam.create_user(UserName="crm")
    anything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_user_policy(
        UserName="crm",
        PolicyName="all",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [anything]}),
    )
    key = iam.create_access_key(UserName="crm")["AccessKey"]
    _tell(f"{endpoint}/moto-api/reset-auth", b"0")

    def open_(secret: str = key["SecretAccessKey"]) -> Storage:
        given = Archive(None, key["AccessKeyId"], secret, {"endpoint_url": endpoint})
        return Storage(URL, Path(), given.options(URL))

    yield open_
    _tell(f"{endpoint}/moto-api/reset-auth", b"inf")
    _tell(f"{endpoint}/moto-api/reset", b"")
    server.stop()


def _tell(url: str, what: bytes) -> None:
    """From `reset-auth` on so many requests need no valid key."""
    header = {"Content-Type": "text/plain"}
    with urllib.request.urlopen(urllib.request.Request(url, what, header, method="POST")):
        pass


def test_a_month_goes_to_s3_is_altered_found_and_restored(expired: sa.Engine, s3: Any) -> None:
    made = logs.planned(expired, policy())
    apply.detach(expired, made)
    archiving.export(expired, s3(), policy(), FEBRUARY)
    archiving.verify(expired, s3(), policy(), FEBRUARY, now=NOW)
    assert apply.drop(expired, made, s3()).dropped_rows == 300
    found = inspection.inspect(expired, s3(), LOG)
    assert (found.sound, found.files, found.rows) == (True, 1, 300)
    entries = restoration.entries_of(expired, LOG, Month(2023, 2))
    _, rows = query.rows(s3(), policy(), entries, tenant="3")
    assert len(list(rows)) > 0

    store = s3()
    content = bytearray(store.get(entries[0].file))
    content[50] ^= 1
    store.put(entries[0].file, bytes(content))
    assert [each.what for each in inspection.inspect(expired, s3(), LOG).findings] == ["altered"]
    with pytest.raises(errors.AuditError, match="nothing was restored"):
        restoration.restore(expired, s3(), policy(), Month(2023, 2))
    content[50] ^= 1
    store.put(entries[0].file, bytes(content))
    assert restoration.restore(expired, s3(), policy(), Month(2023, 2)).rows == 300
    store.remove("crm.audit_log/there-is-none")


def test_a_wrong_secret_is_told_without_it_and_nothing_is_lost(expired: sa.Engine, s3: Any) -> None:
    apply.detach(expired, logs.planned(expired, policy()))

    with pytest.raises(errors.AuditError, match="cannot be used") as caught:
        archiving.export(expired, s3("wrong-secret"), policy(), FEBRUARY)

    assert "wrong-secret" not in str(caught.value)
    assert logs.count(expired, FEBRUARY) == 300
