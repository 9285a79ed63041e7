"""Write `prometheusrule.yaml`, from the rules that Prometheus reads."""

from __future__ import annotations

from pathlib import Path

import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER.parent / "prometheus" / "learnd.rules.yaml"
FILE = FOLDER / "prometheusrule.yaml"

_HEAD = "# Made by `make dashboards` from deploy/prometheus/learnd.rules.yaml: change that.\n"


def text() -> str:
    """Return the rules as a custom resource of the Prometheus Operator."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "learnd", "labels": {"app.kubernetes.io/name": "learnd"}},
        "spec": yaml.safe_load(RULES.read_text(encoding="utf-8")),
    }
    return _HEAD + yaml.safe_dump(resource, sort_keys=False, width=120)


def main() -> None:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
