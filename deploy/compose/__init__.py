"""What the services of `compose.yaml` run and read."""
