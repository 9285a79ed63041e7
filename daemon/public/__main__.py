"""`python -m learnd` is the command `learnd`."""

from learnd.daemon.command import main

main()
