"""Every metric of the stream. No label ever names a partner."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SALES_EVENTS = Counter("rebate_sales_events_total", "Records of sales by how they ended", ["result", "reason"])
UNITS_COUNTED = Counter("rebate_units_counted_total", "Units that entered a tally", ["country", "tier"])
APPLY_SECONDS = Histogram(
    "rebate_tally_apply_seconds",
    "Time from taking a batch to its transaction being committed",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
EVENT_LAG = Gauge("rebate_event_lag_seconds", "Age of the latest applied record, by the broker's time, when committed")
LAST_EVENT = Gauge("rebate_last_event_timestamp_seconds", "Broker time of the latest applied record")
CLOSE_STATE = Gauge(
    "rebate_quarter_close_state", "Latest close of a quarter that this worker did: 1 provisional, 2 final", ["quarter"]
)
DEAD_LETTERS = Counter("dlq_messages_total", "Records put aside to the dead letters", ["reason"])
UNACCOUNTED = Gauge(
    "rebate_unaccounted_records", "Records read less records that ended somewhere; must be zero", ["partition"]
)
POSITION = Gauge("rebate_position_offset", "Last applied offset", ["source", "partition"])
BEHIND = Gauge(
    "rebate_behind_records", "Records still to read when the latest batch was fetched", ["source", "partition"]
)
CALENDAR_AT = Gauge(
    "rebate_calendar_timestamp_seconds",
    "Instant, on the programme's clock, of the latest calendar moment done",
    ["partition"],
)
SETTLED = Counter("rebate_lines_settled_total", "Lines that nothing changes any more and that left the state")
OWNED = Gauge("rebate_partitions_owned", "Partitions that this worker owns and has restored")
RESTORE_SECONDS = Histogram(
    "rebate_restore_seconds", "Time to restore a partition", buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
)
CALENDAR_HELD = Gauge("rebate_calendar_held", "1 while a due moment is held because clock and broker disagree")
STOPPED_BY_DEAD_LETTERS = Gauge(
    "rebate_stopped_by_dead_letters", "1 if this worker reads no further because too many records can't be read"
)
