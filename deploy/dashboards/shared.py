"""What the dashboards share: the top row, and the marks."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from deploy.dashboards.model import ONE, Figure, Mark, Row

TOP = Row(
    "At a glance",
    (
        Figure(
            "State",
            "What the daemon is doing. `consuming` is the usual one; a pause waits for `learnd ctl DIR resume`.",
            units.NoUnit,
            f"learnd_state{{{ONE}}} == 1",
            legend="{{state}}",
        ),
        Figure(
            "Firing alerts",
            "Alerts of this daemon that fire now.",
            units.Short,
            f'count(ALERTS{{alertname=~"Learnd.+", alertstate="firing", {ONE}}}) or vector(0)',
            limit=1,
        ),
        Figure(
            "Lead over the baselines",
            "How much better the model is than the best predictor that learns nothing, by the best metric that it is "
            "judged by over a window; of several labels, the worst. Below 0 it loses by all of them.",
            units.Short,
            f"min(instance_label:learnd_score_lead:max{{{ONE}}})",
            limit=0,
            bad="below",
        ),
        Figure(
            "Age of the newest event",
            "How long ago the newest event that trained happened. Unknown without `samples.event_time`.",
            units.Seconds,
            f"instance:learnd_event_age_seconds{{{ONE}}}",
            limit=300,
        ),
        Figure(
            "Time to catch up",
            "How long it takes until all is trained, at the speed of the last ten minutes.",
            units.Seconds,
            f"instance:learnd_catch_up_seconds{{{ONE}}}",
            limit=600,
            without="not catching up",
        ),
        Figure(
            "Age of the checkpoint",
            "What trained since then is repeated by a restart.",
            units.Seconds,
            f"instance:learnd_checkpoint_age_seconds{{{ONE}}}",
            limit=900,
        ),
    ),
)

MARKS = (
    Mark(
        "Drift",
        f"sum by (signal, level) (increase(learnd_drift_total{{{ONE}}}[$__rate_interval])) > 0",
        "orange",
    ),
    Mark(
        "Reaction",
        f'sum by (action) (increase(learnd_reactions_total{{outcome="done", {ONE}}}[$__rate_interval])) > 0',
        "yellow",
    ),
    Mark("Rollback", f"sum by (reason) (increase(learnd_rollbacks_total{{{ONE}}}[$__rate_interval])) > 0", "red"),
    Mark(
        "Match",
        f"sum by (challenger, outcome) (increase(learnd_contests_total{{{ONE}}}[$__rate_interval])) > 0",
        "green",
    ),
    Mark(
        "Settings",
        f"changes(learnd_settings_reload_success_timestamp_seconds{{{ONE}}}[$__rate_interval]) > 0",
        "text",
    ),
    Mark("Phase", f"changes(learnd_phase{{{ONE}}}[$__rate_interval]) > 0", "purple"),
    Mark("Checkpoint", f"changes(learnd_checkpoint_timestamp_seconds{{{ONE}}}[$__rate_interval]) > 0", "blue"),
    Mark("Restart", f"changes(process_start_time_seconds{{{ONE}}}[$__rate_interval]) > 0", "dark-red"),
)
