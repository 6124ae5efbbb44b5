"""25 schedules as people make them with the Python client, under a prefix."""

import asyncio
import os
import sys
from datetime import datetime, timedelta, timezone

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.common import Priority, RetryPolicy

address, prefix = sys.argv[1:3]
HOUR = (datetime.now(timezone.utc).hour + 6) % 24


def action(*args, **options):
    return ScheduleActionStartWorkflow(
        "Nobody", args=args, id=f"{prefix}run", task_queue="nobody", **options
    )


def at(hour, **fields):
    return ScheduleCalendarSpec(hour=[ScheduleRange(hour)], **fields)


def spec(**fields):
    fields.setdefault("calendars", [at(HOUR)])
    return ScheduleSpec(**fields)


ONE = [at(HOUR)]
SCHEDULES = [
    Schedule(action(), spec()),
    Schedule(action({"mode": "nightly", "list": [1, 2.5, None, True]}), spec()),
    Schedule(action("text", 42, -1.5, False, None, ["a", {"b": []}], {}), spec()),
    Schedule(action("true", "1", "null", "- x", "a: b # c", 'quo"te\\', "zwölf\n"), spec()),
    Schedule(action(), spec(calendars=[at(HOUR, day_of_week=[ScheduleRange(1, 5)])])),
    Schedule(action(), spec(calendars=[at(HOUR, day_of_month=[ScheduleRange(1, 31, 7)])])),
    Schedule(action(), spec(calendars=[ScheduleCalendarSpec(minute=[ScheduleRange(0, 59, 15)], hour=[ScheduleRange(9, 17)])])),
    Schedule(action(), spec(calendars=[ScheduleCalendarSpec(second=[ScheduleRange(30)], minute=[ScheduleRange(5), ScheduleRange(7)])])),
    Schedule(action(), spec(calendars=[at(HOUR, year=[ScheduleRange(2027, 2090, 2)], month=[ScheduleRange(2), ScheduleRange(11, 12)])])),
    Schedule(action(), spec(calendars=[at(HOUR, day_of_month=[ScheduleRange(13)], day_of_week=[ScheduleRange(5)])])),
    Schedule(action(), spec(calendars=[at(1), at(3), at(HOUR, day_of_week=[ScheduleRange(0)])])),
    Schedule(action(), spec(calendars=[], intervals=[ScheduleIntervalSpec(every=timedelta(hours=11))])),
    Schedule(action(), spec(calendars=[], intervals=[ScheduleIntervalSpec(every=timedelta(days=9), offset=timedelta(hours=31, seconds=7)), ScheduleIntervalSpec(every=timedelta(days=30))])),
    Schedule(action(), spec(calendars=[], cron_expressions=["5 4 * * MON-FRI", "@monthly"])),
    Schedule(action(), spec(skip=[ScheduleCalendarSpec(hour=[ScheduleRange(0, 23)], minute=[ScheduleRange(0, 59)], second=[ScheduleRange(0, 59)], month=[ScheduleRange(12)], day_of_month=[ScheduleRange(24, 26)])])),
    Schedule(action(), spec(time_zone_name="America/New_York", calendars=[at(5)])),
    Schedule(action(), spec(start_at=datetime(2020, 1, 1, tzinfo=timezone.utc), end_at=datetime(2090, 1, 1, 1, 2, 3, tzinfo=timezone.utc))),
    Schedule(action(), spec(jitter=timedelta(minutes=3, milliseconds=250))),
    Schedule(action(execution_timeout=timedelta(hours=3), run_timeout=timedelta(hours=1), task_timeout=timedelta(seconds=20)), spec()),
    Schedule(action(retry_policy=RetryPolicy(maximum_attempts=3, backoff_coefficient=1.5, non_retryable_error_types=["Bad one"])), spec()),
    Schedule(action(memo={"cost_center": 42, "who": {"name": "ann"}}), spec()),
    Schedule(action(static_summary="It's: the #1 run", priority=Priority(priority_key=2)), spec()),
    Schedule(action(), spec(), policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.BUFFER_ALL, catchup_window=timedelta(minutes=90), pause_on_failure=True)),
    Schedule(action(), spec(), state=ScheduleState(paused=True, note="paused by ann: #7")),
    Schedule(action(), spec(), state=ScheduleState(limited_actions=True, remaining_actions=17, note="made by bob")),
]


async def main():
    client = await Client.connect(address)
    for number, schedule in enumerate(SCHEDULES):
        await client.create_schedule(f"{prefix}py-{number:02}", schedule)
    print(len(SCHEDULES), flush=True)


asyncio.run(main())
# Threads of the client's native part may outlive the interpreter, and make it
# crash where it ends in the ordinary way.
os._exit(0)
