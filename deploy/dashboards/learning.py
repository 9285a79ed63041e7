"""Whether the model learns."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from deploy.dashboards.model import ONE, Lines, Page, Row
from deploy.dashboards.shared import MARKS, TOP

PAGE = Page(
    "learnd-learning",
    "learnd / Learning",
    "Whether the model learns: its scores against baselines, its loss, and what drifts.",
    marks=MARKS,
    rows=(
        TOP,
        Row(
            "Scores",
            (
                Lines(
                    "Lead over the best baseline",
                    "How much better the scores that the model is judged by are than those of the best predictor that "
                    "learns nothing, whichever way is better. Below 0 the model loses by that metric.",
                    units.Short,
                    {"{{metric}}, last {{window}}": f"learnd_score_lead{{{ONE}}}"},
                ),
                Lines(
                    "Skill",
                    "The lead as a share of what the best baseline lacks of a perfect score, whatever the unit: 1 is "
                    "perfect, 0 as good as the baseline.",
                    units.Short,
                    {"{{metric}}, last {{window}}": f"learnd_skill_score{{{ONE}}}"},
                ),
                Lines(
                    "Scores before each update",
                    "Each sample is predicted before it trains. Over the whole run and over sliding windows.",
                    units.Short,
                    {"{{metric}}, last {{window}}": f"learnd_prequential_score{{{ONE}}}"},
                ),
                Lines(
                    "Baselines",
                    "The same scores of predictors that know earlier labels and no features.",
                    units.Short,
                    {"{{baseline}}: {{metric}}, last {{window}}": f"learnd_baseline_score{{{ONE}}}"},
                ),
                Lines(
                    "Holdout and anchor file",
                    "On samples that never train. If they fall while the other scores stay, the model forgets. Empty "
                    "without `validate.holdout` and `validate.anchor`.",
                    units.Short,
                    {
                        "holdout: {{metric}}": f"learnd_holdout_score{{{ONE}}}",
                        "anchor: {{metric}}": f"learnd_anchor_score{{{ONE}}}",
                    },
                ),
                Lines(
                    "Forgetting",
                    "How far the score on the anchor file is below its best so far.",
                    units.Short,
                    {"forgetting": f"learnd_forgetting_score{{{ONE}}}"},
                ),
            ),
        ),
        Row(
            "Updates",
            (
                Lines("Loss", "The mean of the latest call.", units.Short, {"loss": f"learnd_loss{{{ONE}}}"}),
                Lines(
                    "Norm of the gradients",
                    "The mean of the latest call. If it grows without end, the model diverges.",
                    units.Short,
                    {"norm": f"learnd_gradient_norm{{{ONE}}}"},
                ),
                Lines(
                    "Learning rate",
                    "Of the latest update. Rules and commands may raise it for a while.",
                    units.ScientificNotation,
                    {"rate": f"learnd_learning_rate{{{ONE}}}"},
                ),
                Lines(
                    "Shares of a mixture",
                    "What each network of `preset: auto`, and its average, counts in the predictions; or the weights, "
                    "and their averages if these are hedged. Empty for other models.",
                    units.PercentUnit,
                    {"{{member}}": f"learnd_mixture_share{{{ONE}}}"},
                ),
                Lines(
                    "Phase and parameters that train",
                    "The number of the training phase, from 0, and how many parameters train in it.",
                    units.Short,
                    {
                        "phase": f"learnd_phase{{{ONE}}}",
                        "parameters": f"learnd_trainable_parameters{{{ONE}}}",
                    },
                ),
                Lines(
                    "Memory of the stream",
                    "Samples that `train.memory` holds, by class if it is balanced, and how many of them train again. "
                    "Empty without it.",
                    units.Short,
                    {
                        "{{class}}": f"learnd_memory_samples{{{ONE}}}",
                        "train again, a second": f"deriv(learnd_memory_replayed_samples{{{ONE}}}[$__rate_interval])",
                    },
                ),
                Lines(
                    "Skipped updates",
                    "Updates that changed nothing, since they were not finite or far outside the usual range.",
                    units.OpsPerSecond,
                    {
                        "{{reason}}": f"rate(learnd_updates_skipped_total{{{ONE}}}[$__rate_interval])",
                    },
                ),
            ),
        ),
        Row(
            "Change",
            (
                Lines(
                    "Drift by signal",
                    "Drifts that were found. If they keep coming, the watched signal is never stable.",
                    units.Short,
                    {"{{signal}}, {{level}}": f"increase(learnd_drift_total{{{ONE}}}[$__rate_interval])"},
                ),
                Lines(
                    "Reactions",
                    "What the rules did, by outcome.",
                    units.Short,
                    {"{{action}}, {{outcome}}": f"increase(learnd_reactions_total{{{ONE}}}[$__rate_interval])"},
                ),
                Lines(
                    "Rollbacks",
                    "Returns to the last good copy of the model. The dead letters have what was taken back.",
                    units.Short,
                    {"{{reason}}": f"increase(learnd_rollbacks_total{{{ONE}}}[$__rate_interval])"},
                ),
                Lines(
                    "Evidence for challengers",
                    "That a challenger predicts better than the model that leads, as a power of ten: at 2 it takes the "
                    "lead, at a level of 1 %. Empty without challengers and trials.",
                    units.Short,
                    {"{{challenger}}": f"learnd_challenger_evidence{{{ONE}}}"},
                ),
                Lines(
                    "Lead of challengers",
                    "By how much the loss of a challenger is lower than that of the model that leads, on average. "
                    "Empty without challengers and trials.",
                    units.Short,
                    {"{{challenger}}": f"learnd_challenger_lead{{{ONE}}}"},
                ),
                Lines(
                    "Matches that are over",
                    "What became of challengers: promoted, dropped, or taken back by a rollback. Empty without them.",
                    units.Short,
                    {"{{challenger}}, {{outcome}}": f"increase(learnd_contests_total{{{ONE}}}[$__rate_interval])"},
                ),
            ),
        ),
    ),
)
