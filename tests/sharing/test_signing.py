from __future__ import annotations

import pytest

from crm_ops.base import errors
from crm_ops.sharing import signing


def test_a_key_of_32_characters_serves() -> None:
    assert signing.required(b"k" * 32) == b"k" * 32


@pytest.mark.parametrize("key", [None, b"", b"short and secret"])
def test_a_missing_or_short_key_is_refused_with_the_remedy(key: bytes | None) -> None:
    with pytest.raises(errors.SettingsError, match=r"set CRM_OPS_SIGNING_KEY") as refused:
        signing.required(key)
    assert "secret and" not in str(refused.value)
