"""The rules in the form of the Prometheus Operator. `python -m deploy.kubernetes` writes `prometheusrule.yaml`."""
