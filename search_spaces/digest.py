"""Stable names for values: equal JSON values have equal digests, on every machine and in every run."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON text with sorted keys and no spaces, so that equal values give equal text.

    Raises:
        ValueError: If a number is not finite (JSON has no such number).
        TypeError: If a value has no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of the value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]
