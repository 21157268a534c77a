"""The hash that tells what is stored from what is not."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

ROW_KEYS = ("label", "published")
"""Keys of a method's configuration that name its row: in our tables, and in published ones. They
decide no number."""


def run_key(identity: Mapping[str, Any]) -> str:
    """Hash over what decides the numbers of a run.

    Args:
        identity: Nested mappings, sequences, strings and numbers. `method.name` is left out: it
            says what the user calls a method, not what the method does.
    """
    method = {key: value for key, value in identity["method"].items() if key != "name"}
    content = json.dumps({**identity, "method": method}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
