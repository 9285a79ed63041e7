"""`python -m learnd` is the command `learnd`."""

from learnd.daemon.cli import main

main()
