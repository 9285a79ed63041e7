"""Which folders are which packages: they stay at the top level, and what is installed is one name, `learnd`."""

from setuptools import find_packages, setup

FOLDERS = {"learnd": "daemon/public", "learnd.daemon": "daemon", "learnd.connectors": "connectors"}
ROOMS = [f"learnd.{top}.{room}" for top in ("daemon", "connectors") for room in find_packages(top, exclude=["public"])]

PAGE = {"learnd.daemon.http.page": ["*.html", "*.css", "*.js", "*.txt"]}

setup(packages=[*FOLDERS, *ROOMS], package_dir=FOLDERS, package_data=PAGE)
