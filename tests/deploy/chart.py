"""The chart in deploy/chart, rendered by Helm's own engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/chart"
RELEASE = "almanac"

Manifest = dict[str, Any]


def render(values: Manifest | None = None) -> dict[str, str]:
    """Returns the text of each template that gives one, by the template's path in the chart."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values, name=RELEASE, namespace=RELEASE)
    return {
        path.removeprefix("almanac/templates/"): text.strip() + "\n"
        for path, text in rendered.items()
        if text.strip()
    }


def manifests(values: Manifest | None = None) -> list[Manifest]:
    """Returns the objects that the chart makes of these values, its test among them."""
    texts = render(values)
    return [
        document
        for path, text in texts.items()
        if path != "NOTES.txt"
        for document in yaml.safe_load_all(text)
    ]


def only(kind: str, objects: list[Manifest]) -> Manifest:
    """Returns the one object of this kind."""
    found = [one for one in objects if one["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def pods(objects: list[Manifest]) -> Iterator[Manifest]:
    """Returns the Deployment's template, and the Pods."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one
        if "template" in one.get("spec", {}):
            yield one["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """Returns the containers of a pod, the first ones too."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def worker(objects: list[Manifest]) -> Manifest:
    """Returns Almanac's container in the Deployment."""
    pod = only("Deployment", objects)["spec"]["template"]["spec"]
    return next(one for one in pod["containers"] if one["name"] == "almanac")
