"""Whether the process is well: memory, disk, checkpoints."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from deploy.dashboards.model import ONE, Lines, Page, Row
from deploy.dashboards.shared import MARKS, TOP

PAGE = Page(
    "learnd-process",
    "learnd / Process",
    "Whether the process is well: memory, processors, checkpoints, journal, disk, restarts.",
    marks=MARKS,
    rows=(
        TOP,
        Row(
            "Machine",
            (
                Lines(
                    "Memory",
                    "What the process uses, and what it may use: the least of its cgroups' limits and of the machine.",
                    units.BytesIEC,
                    {
                        "used": f"process_resident_memory_bytes{{{ONE}}}",
                        "limit": f"learnd_memory_limit_bytes{{{ONE}}}",
                    },
                ),
                Lines(
                    "Processors",
                    "How many processors are busy with it.",
                    units.Short,
                    {"busy": f"rate(process_cpu_seconds_total{{{ONE}}}[$__rate_interval])"},
                ),
                Lines(
                    "Open files",
                    "Descriptors that are open, and how many may be.",
                    units.Short,
                    {"open": f"process_open_fds{{{ONE}}}", "limit": f"process_max_fds{{{ONE}}}"},
                ),
                Lines(
                    "Restarts",
                    "How often the process was started within an hour.",
                    units.Short,
                    {"in an hour": f"changes(process_start_time_seconds{{{ONE}}}[1h])"},
                ),
                Lines(
                    "Compilations",
                    "Compilations of the update. A few at the start and in each phase are normal.",
                    units.Short,
                    {"compilations": f"learnd_retraces_total{{{ONE}}}"},
                ),
                Lines(
                    "Versions",
                    "What runs: the versions, the model, and the fingerprint of the settings.",
                    units.NoUnit,
                    {
                        "learnd {{learnd}}, TensorFlow {{tensorflow}}, Keras {{keras}}": f"learnd_build_info{{{ONE}}}",
                        "settings {{fingerprint}}": f"learnd_settings_info{{{ONE}}}",
                    },
                ),
                Lines(
                    "Settings are those of the file",
                    "1 if the settings file was taken up when it was last read, 0 while the daemon runs on with those "
                    "that it had.",
                    units.Short,
                    {"taken up": f"learnd_settings_reload_successful{{{ONE}}}"},
                ),
            ),
        ),
        Row(
            "State on disk",
            (
                Lines(
                    "Age of the checkpoint",
                    "How long ago the newest checkpoint was made.",
                    units.Seconds,
                    {"age": f"instance:learnd_checkpoint_age_seconds{{{ONE}}}"},
                ),
                Lines(
                    "Time for checkpoints",
                    "How long training stopped for one, and how long writing it took: 99 of 100 were faster.",
                    units.Seconds,
                    {
                        "stopped": "histogram_quantile(0.99, "
                        f"sum by (le) (rate(learnd_checkpoint_stall_seconds_bucket{{{ONE}}}[30m])))",
                        "writing": "histogram_quantile(0.99, "
                        f"sum by (le) (rate(learnd_checkpoint_seconds_bucket{{{ONE}}}[30m])))",
                    },
                ),
                Lines(
                    "Checkpoints that failed",
                    "Checkpoints that could not be written, by reason, in an hour.",
                    units.Short,
                    {"{{reason}}": f"increase(learnd_checkpoint_failures_total{{{ONE}}}[1h])"},
                ),
                Lines(
                    "Size of checkpoint and journal",
                    "Bytes of the newest checkpoint and of the whole journal.",
                    units.BytesIEC,
                    {
                        "checkpoint": f"learnd_checkpoint_bytes{{{ONE}}}",
                        "journal": f"learnd_journal_bytes{{{ONE}}}",
                    },
                ),
                Lines(
                    "What a restart repeats",
                    "Samples that trained since the newest checkpoint.",
                    units.Short,
                    {"samples": f"learnd_unsaved_samples{{{ONE}}}"},
                ),
                Lines(
                    "Free on the disk",
                    "Bytes that are free on the volume of the state directory.",
                    units.BytesIEC,
                    {"free": f"learnd_state_free_bytes{{{ONE}}}"},
                ),
                Lines(
                    "Journal is blocked",
                    "1 while training waits for room for the journal.",
                    units.Short,
                    {"blocked": f"learnd_journal_blocked{{{ONE}}}"},
                ),
            ),
        ),
    ),
)
