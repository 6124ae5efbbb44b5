"""A worker of another language: three activities, one workflow."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker


@activity.defn(name="Charge")
async def charge(amount: int, currency: str) -> dict:
    if amount < 0:
        raise ApplicationError("less than nothing", type="BadAmount")
    if amount == 0:
        problem = {"type": "https://shop.example/errors/nothing", "status": 409, "title": "Nothing"}
        raise ApplicationError("nothing to charge", problem)
    if amount > 1000:
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.1)
    return {"charged": amount, "currency": currency, "attempt": activity.info().attempt}


@activity.defn(name="Await")
async def wait_for(path: str) -> str:
    """Says that it began, and ends when its file is there."""
    Path(path + ".began").touch()
    while not Path(path).exists():
        activity.heartbeat()
        await asyncio.sleep(0.05)
    return "it is there"


@activity.defn(name="Large")
async def large(length: int, given: str) -> str:
    return "x" * length


@workflow.defn(name="Ship")
class Ship:
    def __init__(self) -> None:
        self.may_ship = False

    @workflow.signal
    def ship(self) -> None:
        self.may_ship = True

    @workflow.run
    async def run(self, order: dict) -> dict:
        if order.get("forever"):
            await asyncio.sleep(3600)
        if order.get("lost"):
            raise ApplicationError("the parcel is lost", type="Lost")
        if order.get("signalled"):
            await workflow.wait_condition(lambda: self.may_ship)
        await asyncio.sleep(0.01)
        return {"shipped": order["id"]}


async def main() -> None:
    address, queue = sys.argv[1:]
    client = await Client.connect(address)
    worker = Worker(
        client,
        task_queue=queue,
        activities=[charge, wait_for, large],
        workflows=[Ship],
        workflow_runner=UnsandboxedWorkflowRunner(),
        graceful_shutdown_timeout=timedelta(0),
    )
    await worker.run()


asyncio.run(main())
