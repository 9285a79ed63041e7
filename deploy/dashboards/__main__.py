"""Write the dashboards to `deploy/grafana`."""

from __future__ import annotations

from pathlib import Path

from deploy.dashboards import learning, process, stream
from deploy.dashboards.model import Page

PAGES: tuple[Page, ...] = (learning.PAGE, stream.PAGE, process.PAGE)
FOLDER = Path(__file__).parents[1] / "grafana"


def main() -> None:
    """Write each page to a file of its uid's name."""
    for page in PAGES:
        (FOLDER / f"{page.uid}.json").write_text(page.json(), encoding="utf-8")


if __name__ == "__main__":
    main()
