"""How values are written in comments and in YAML."""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN_YAML = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")

_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off"}


def shown(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 30 else f"{text[:30]}..."


def yaml(value: Any) -> str:
    """Return a scalar that is valid anywhere in YAML, in flow style too. `${` is escaped, so it names no variable."""
    if isinstance(value, float) and value % 1 == 0:
        value = int(value)
    if isinstance(value, str) and _PLAIN_YAML.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    text = value if isinstance(value, str) else ""
    return json.dumps(value, default=str, ensure_ascii=not text.isprintable()).replace("${", "$${")
