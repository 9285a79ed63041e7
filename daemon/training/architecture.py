"""How a model is built beside its variables: the configuration of its layers, and what of it differs from before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from learnd.daemon.training.phases import walk

_NO_MATTER = ("shared_object_id",)  # an address in memory


def architecture_of(model: Any) -> str:
    """Return the configuration of a model as JSON. A subclass has none: then it is that of each layer, by its path."""
    try:
        config = model.get_config()
    except Exception:  # noqa: BLE001  (code of the user's)
        config = {}
    if "layers" not in config:
        config = {path: _config_of(layer) for path, layer in walk(model) if path}
    tables = {path: digest for path, layer in walk(model) if (digest := _digest_of_vocabulary(layer))}
    config = {**config, "vocabularies": tables} if tables else config
    return _as_text(config)


def configuration_of(part: Any) -> str:
    """Return the class and the configuration of a Keras object as JSON; the class alone if it gives none."""
    return _as_text(_config_of(part))


def differences(before: str, now: str, most: int = 6) -> list[str]:
    """Return, a line each, what differs between two architectures."""
    old, new = (dict(_leaves(json.loads(text))) for text in (before, now))
    lines = [f"only before: {path}" for path in old.keys() - new.keys()]
    lines += [f"only now: {path}" for path in new.keys() - old.keys()]
    lines += [
        f"{path}: {old[path]!r} before, {new[path]!r} now" for path in old.keys() & new.keys() if old[path] != new[path]
    ]
    return sorted(lines)[:most]


def _digest_of_vocabulary(layer: Any) -> str | None:
    """Return a digest of the vocabulary of a layer, which is in no variable; None if it has none."""
    if not hasattr(layer, "get_vocabulary"):
        return None
    words = [str(word) for word in layer.get_vocabulary()]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _config_of(part: Any) -> dict[str, Any]:
    try:
        config = part.get_config()
    except Exception:  # noqa: BLE001  (code of the user's)
        config = {}
    return {"class_name": type(part).__name__, "config": config}


def _as_text(config: Any) -> str:
    return json.dumps(_plain(config), sort_keys=True, default=lambda value: type(value).__name__)


def _plain(value: Any) -> Any:
    """Return a configuration without what differs between two processes, such as the place of a lambda's code."""
    if isinstance(value, dict):
        kept = {str(key): item for key, item in value.items() if key not in _NO_MATTER}
        return (
            {"class_name": "__lambda__"}
            if kept.get("class_name") == "__lambda__"
            else {k: _plain(v) for k, v in kept.items()}
        )
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value within a configuration with its path, in which layers go by their names."""
    items: Iterator[tuple[str, Any]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = ((_name(index, item), item) for index, item in enumerate(value))
    else:
        yield path, value
    for key, item in items:
        yield from _leaves(item, f"{path}/{key}".lstrip("/"))


def _name(index: int, item: Any) -> str:
    config = item.get("config") if isinstance(item, dict) else None
    return str(config["name"]) if isinstance(config, dict) and "name" in config else str(index)
