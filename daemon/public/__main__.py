"""`python -m learnd` is the command `learnd`."""

from learnd.command import main

main()
