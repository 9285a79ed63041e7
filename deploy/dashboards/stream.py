"""Whether the training keeps up with the stream."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from deploy.dashboards.model import ONE, Lines, Page, Row
from deploy.dashboards.shared import MARKS, TOP


def _shares(thread: str) -> str:
    return f'rate(learnd_thread_seconds_total{{thread="{thread}", {ONE}}}[$__rate_interval])'


PAGE = Page(
    "learnd-stream",
    "learnd / Stream",
    "Whether the training keeps up with the stream, what is rejected, and where the time goes.",
    marks=MARKS,
    rows=(
        TOP,
        Row(
            "Behind the stream",
            (
                Lines(
                    "Unread",
                    "What waits in the source: records of a topic, bytes of files. While the source is away, of what "
                    "it held when it was last reached.",
                    units.Short,
                    {"{{partition}}": f"learnd_source_lag_records{{{ONE}}} or learnd_source_lag_bytes{{{ONE}}}"},
                ),
                Lines(
                    "Time to catch up",
                    "How long it takes until all is trained, at the speed of the last ten minutes. A gap: it does "
                    "not catch up.",
                    units.Seconds,
                    {"to catch up": f"instance:learnd_catch_up_seconds{{{ONE}}}"},
                ),
                Lines(
                    "Age of the newest event, and clocks that are ahead",
                    "How long ago the newest event that trained happened; and how far the latest event was ahead of "
                    "this machine's clock, which is no age but a wrong clock.",
                    units.Seconds,
                    {
                        "age": f"instance:learnd_event_age_seconds{{{ONE}}}",
                        "ahead": f"learnd_event_clock_ahead_seconds{{{ONE}}}",
                    },
                ),
                Lines(
                    "Resume margin",
                    "How many offsets the newest checkpoint is ahead of the oldest record that the brokers still have. "
                    "At 0, a restart loses records.",
                    units.Short,
                    {"{{partition}}": f"learnd_source_resume_margin_records{{{ONE}}}"},
                ),
                Lines(
                    "Not in a checkpoint",
                    "How many offsets lie between the newest checkpoint and the end of each partition.",
                    units.Short,
                    {"{{partition}}": f"learnd_source_unsaved_records{{{ONE}}}"},
                ),
                Lines(
                    "Source reached",
                    "1 while the source can be reached, and how long ago it was last reached.",
                    units.Short,
                    {
                        "reached": f"learnd_source_connected{{{ONE}}}",
                        "seconds ago": f"time() - learnd_source_lag_timestamp_seconds{{{ONE}}}",
                    },
                ),
            ),
        ),
        Row(
            "Through the model",
            (
                Lines(
                    "Samples",
                    "Samples a second: trained, held out, and rejected. Left out are records that "
                    "`source.kafka.when_behind` skips.",
                    units.CountsPerSecond,
                    {
                        "trained": f"rate(learnd_samples_trained_total{{{ONE}}}[$__rate_interval])",
                        "held out": f"rate(learnd_samples_held_out_total{{{ONE}}}[$__rate_interval])",
                        "rejected": f"sum(rate(learnd_samples_rejected_total{{{ONE}}}[$__rate_interval]))",
                        "left out": f"rate(learnd_records_skipped_total{{{ONE}}}[$__rate_interval])",
                    },
                ),
                Lines(
                    "Rejected by reason",
                    "Records that became dead letters.",
                    units.CountsPerSecond,
                    {"{{reason}}": f"sum by (reason) (rate(learnd_samples_rejected_total{{{ONE}}}[$__rate_interval]))"},
                ),
                Lines(
                    "Queue",
                    "Decoded samples that wait for training. Always full: training is the bottleneck; always empty: "
                    "reading is, or there is nothing to read.",
                    units.Short,
                    {"waiting": f"learnd_queue_samples{{{ONE}}}"},
                ),
                Lines(
                    "From event to weights",
                    "How old an event is when it has trained: half of the calls are faster, and 99 of 100.",
                    units.Seconds,
                    {
                        "half": "histogram_quantile(0.5, "
                        f"sum by (le) (rate(learnd_freshness_seconds_bucket{{{ONE}}}[$__rate_interval])))",
                        "99 of 100": "histogram_quantile(0.99, "
                        f"sum by (le) (rate(learnd_freshness_seconds_bucket{{{ONE}}}[$__rate_interval])))",
                    },
                    width=12,
                ),
                Lines(
                    "Time of an update",
                    "Seconds of an update: half of the calls are faster, and 99 of 100.",
                    units.Seconds,
                    {
                        "half": "histogram_quantile(0.5, "
                        f"sum by (le) (rate(learnd_update_seconds_bucket{{{ONE}}}[$__rate_interval])))",
                        "99 of 100": "histogram_quantile(0.99, "
                        f"sum by (le) (rate(learnd_update_seconds_bucket{{{ONE}}}[$__rate_interval])))",
                    },
                    width=12,
                ),
            ),
        ),
        Row(
            "Where the time goes",
            (
                Lines(
                    "The loop",
                    "Shares of the time of the thread that trains. `waiting`: for records. `repeating`: updates that "
                    "run once more, up to where a rule acts. `saving`: copies of the state for checkpoints.",
                    units.PercentUnit,
                    {"{{activity}}": _shares("loop")},
                    width=12,
                    stacked=True,
                ),
                Lines(
                    "The reader",
                    "Shares of the time of the thread that reads and decodes. `waiting`: until the loop needs more.",
                    units.PercentUnit,
                    {"{{activity}}": _shares("reader")},
                    width=12,
                    stacked=True,
                ),
            ),
        ),
    ),
)
