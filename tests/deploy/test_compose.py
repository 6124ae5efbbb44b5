"""The Compose file and what it mounts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml
from almanac import reads
from chart import ROOT
from harness.processes import run

FOLDER = ROOT / "deploy/compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_file_is_what_the_specification_says() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    run([checker, "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml"])


def test_almanac_reads_each_variable_and_runs_as_in_the_chart() -> None:
    almanac = SERVICES["almanac"]
    assert [name for name in almanac["environment"] if not reads("run", name)] == []
    assert almanac["read_only"] is True and almanac["cap_drop"] == ["ALL"]
    assert "user" not in almanac and almanac["build"]["dockerfile"] == "deploy/Dockerfile"


def test_each_image_has_a_fixed_version() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-alpine)?$|^almanac:local$", service["image"]), name


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) >= 6 and len(set(ports)) == len(ports)
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_mounted_file_is_there() -> None:
    sources = []
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = re.sub(r"^\$\{DEFINITIONS:-([^}]+)\}", r"\1", volume).split(":")[0]
            if source.startswith("."):
                sources.append(source)
            else:
                assert source in COMPOSE["volumes"]
    assert "../prometheus/rules.yaml" in sources and "../grafana" in sources
    assert [source for source in sources if not (FOLDER / source).exists()] == []


def test_services_wait_for_those_that_are_there() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
            else:
                # It ends once it has succeeded.
                assert SERVICES[other]["restart"].startswith("on-failure")


def test_prometheus_scrapes_almanac_and_has_the_alerts() -> None:
    path = FOLDER / "prometheus.yaml"
    run([ROOT / ".tools/bin/promtool", "check", "config", "--syntax-only", path])
    config = yaml.safe_load(path.read_text())
    [job] = config["scrape_configs"]
    [target] = job["static_configs"]
    assert (
        target["targets"] == ["almanac:8080"]
        and "127.0.0.1:8080:8080" in SERVICES["almanac"]["ports"]
    )
    assert target["labels"]["project"] == SERVICES["almanac"]["environment"]["ALMANAC_PROJECT"]
    assert any(
        f"/etc/prometheus/{config['rule_files'][0]}:" in volume
        for volume in SERVICES["prometheus"]["volumes"]
    )


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["uid"] == "prometheus" and source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((provisioning / "dashboards/almanac.yaml").read_text())["providers"]
    assert f"../grafana:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
