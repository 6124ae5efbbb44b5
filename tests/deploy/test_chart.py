"""The chart: what it makes of values is what Kubernetes accepts and Almanac needs."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from almanac import flags, reads
from chart import CHART, ROOT, Manifest, containers, manifests, only, pods, render, worker
from manifests import plain

VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))

#: The oldest Kubernetes for which the chart is, and the newest whose schemas there are.
VERSIONS = ["1.27", kubernetes_validate.latest_version()]

#: The kinds of the Prometheus Operator, with all members of `spec` that the chart may use.
OF_OPERATOR = {
    "ServiceMonitor": {"selector", "endpoints"},
    "PrometheusRule": {"groups"},
}


def read(path: Path) -> Any:
    """Returns the contents of a file of YAML."""
    return yaml.safe_load(path.read_text())


@cache
def rendered(name: str) -> list[Manifest]:
    """Returns the objects that the chart makes of the values in a file of `values/`."""
    return manifests(read(Path(__file__).parent / "values" / f"{name}.yaml"))


@pytest.fixture(params=[path.stem for path in VALUES])
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    """The objects for each file."""
    return rendered(request.param)


def variables(container: Manifest) -> dict[str, str]:
    """Returns the variables of a container that have a fixed value."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def includes(labels: Manifest, selector: Manifest) -> bool:
    """Returns true if the selector chooses an object with these labels."""
    return all(labels.get(name) == value for name, value in selector["matchLabels"].items())


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_complain_about(path: Path) -> None:
    report = helm_python.lint(CHART, read(path), strict=True)
    found = [one for one in report["messages"] if one["error"] != "icon is recommended"]
    assert (found, report["errors"]) == ([], [])


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_each_object(objects: list[Manifest], version: str) -> None:
    for one in objects:
        if one["kind"] in OF_OPERATOR:
            assert one["apiVersion"] == "monitoring.coreos.com/v1"
            assert set(one["spec"]) == OF_OPERATOR[one["kind"]]
        else:
            kubernetes_validate.validate(one, version, strict=True)


def test_each_object_has_a_name_and_labels_of_its_own(objects: list[Manifest]) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names) and all(len(name) <= 63 for _, name in names)
    for one in objects:
        assert one["metadata"]["namespace"] == "almanac"
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "almanac"


def test_selectors_choose_the_workers_and_nothing_else(objects: list[Manifest]) -> None:
    deployment = only("Deployment", objects)
    workers = deployment["spec"]["template"]["metadata"]["labels"]
    test = only("Pod", objects)["metadata"]["labels"]
    service = only("Service", objects)
    selectors = [deployment["spec"]["selector"], {"matchLabels": service["spec"]["selector"]}]
    for one in objects:
        if one["kind"] == "PodDisruptionBudget":
            selectors.append(one["spec"]["selector"])
        if one["kind"] == "NetworkPolicy":
            selectors.append(one["spec"]["podSelector"])
        if one["kind"] == "ServiceMonitor":
            assert includes(service["metadata"]["labels"], one["spec"]["selector"])
    for constraint in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
        selectors.append(constraint["labelSelector"])
    for selector in selectors:
        assert includes(workers, selector) and not includes(test, selector), selector


def test_pods_meet_the_restricted_pod_security_standard(objects: list[Manifest]) -> None:
    for pod in pods(objects):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for member in ["runAsUser", "runAsGroup", "fsGroup"]:
            # None, if the cluster chooses.
            assert context.get(member, 1000) >= 1000
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own.get("runAsUser", 1000) >= 1000
    for account in objects:
        if account["kind"] == "ServiceAccount":
            assert account["automountServiceAccountToken"] is False


def test_each_volume_is_there_and_used(objects: list[Manifest]) -> None:
    for pod in pods(objects):
        there = [volume["name"] for volume in pod["spec"].get("volumes", [])]
        assert len(set(there)) == len(there) and all(len(name) <= 63 for name in there)
        used = set()
        for container in containers(pod):
            mounts = container.get("volumeMounts", [])
            used |= {mount["name"] for mount in mounts}
            paths = [mount["mountPath"] for mount in mounts]
            assert len(set(paths)) == len(paths)
            # The kubelet never updates these.
            assert not [mount for mount in mounts if "subPath" in mount]
        assert used == set(there)


def test_only_git_sync_and_what_is_added_can_write(objects: list[Manifest]) -> None:
    mounts = [
        *worker(objects)["volumeMounts"],
        *only("Pod", objects)["spec"]["containers"][0].get("volumeMounts", []),
    ]
    writable = [mount["name"] for mount in mounts if not mount.get("readOnly")]
    assert writable in ([], ["scratch"])
    for pod in pods(objects):
        for volume in pod["spec"].get("volumes", []):
            if "secret" in volume:
                # The group of the pod, and nobody else.
                assert volume["secret"]["defaultMode"] == 0o440


def test_each_file_of_a_variable_is_mounted(objects: list[Manifest]) -> None:
    for pod in pods(objects):
        for container in containers(pod):
            folders = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            for name, value in variables(container).items():
                for path in re.findall(r"(?:^|file:)(/[^,@]*)", value):
                    assert any(f"{path}/".startswith(f"{folder}/") for folder in folders), name


def test_each_variable_is_one_that_almanac_reads(objects: list[Manifest]) -> None:
    for container in [worker(objects), only("Pod", objects)["spec"]["containers"][0]]:
        names = [one["name"] for one in container["env"]]
        assert len(set(names)) == len(names)
        [command] = container["args"]
        # The one that a case adds for steps.
        unknown = [name for name in names if name != "SHOP_TOKEN" and not reads(command, name)]
        assert unknown == []


def test_options_are_the_flags_that_no_other_value_sets() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    options = set(schema["properties"]["options"]["properties"])
    others = {
        "--project", "--dir", "--listen", "--shutdown-timeout", "--auth-token-file", "--nats-url",
        "--nats-credentials", "--nats-cert", "--nats-key", "--nats-ca", "--codec-key-file",
    }  # fmt: skip
    assert {f"--{option}" for option in options} == flags("run") - others


def test_options_become_variables() -> None:
    own = variables(worker(rendered("everything")))
    assert own["ALMANAC_DRIFT"] == "report"
    assert own["ALMANAC_RPS"] == "1000000"
    assert own["ALMANAC_NATS_PLAIN_JSON"] == "true"
    assert own["ALMANAC_WEBHOOK_SECRET"] == "hub=file:/etc/almanac/secrets/hub/secret"


def test_the_status_of_helm_test_is_decoded_as_the_worker_encodes() -> None:
    codec = {"codec-endpoint": "https://codec.example", "codec-auth": "env:CODEC"}
    values = read(Path(__file__).parent / "values" / "minimal.yaml")
    objects = manifests({**values, "options": {**codec, "drift": "report"}})
    [pod] = [one for one in objects if one["kind"] == "Pod"]
    own = variables(pod["spec"]["containers"][0])
    assert own["ALMANAC_CODEC_ENDPOINT"] == "https://codec.example"
    assert own["ALMANAC_CODEC_AUTH"] == "env:CODEC"
    assert "ALMANAC_DRIFT" not in own


def test_a_pod_gets_more_time_than_a_worker_takes_to_end(objects: list[Manifest]) -> None:
    spec = only("Deployment", objects)["spec"]["template"]["spec"]
    seconds = int(variables(worker(objects))["ALMANAC_SHUTDOWN_TIMEOUT"].removesuffix("s"))
    waits, before = worker(objects)["lifecycle"]["preStop"]["exec"]["command"]
    assert waits == "sleep"
    assert spec["terminationGracePeriodSeconds"] >= int(before) + seconds + 10


def test_a_rollout_waits_for_new_pods_and_passes_old_ones_that_are_not_ready(
    objects: list[Manifest],
) -> None:
    strategy = only("Deployment", objects)["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}
    own = worker(objects)
    assert own["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert own["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert [port["name"] for port in own["ports"]] == ["http"]
    for one in objects:
        if one["kind"] == "PodDisruptionBudget":
            assert one["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
            assert "minAvailable" not in one["spec"]


def test_secrets_are_named_and_never_contained(objects: list[Manifest]) -> None:
    assert "Secret" not in {one["kind"] for one in objects}
    for name in variables(worker(objects)):
        assert name not in ("TEMPORAL_API_KEY", "GITSYNC_PASSWORD")


def test_everything_is_passed_on() -> None:
    objects = rendered("everything")
    own = variables(worker(objects))
    expected = {
        "ALMANAC_PROJECT": "orders",
        "ALMANAC_DIR": "/definitions/current/orders",
        "ALMANAC_LISTEN": "[::]:8080",
        "ALMANAC_SHUTDOWN_TIMEOUT": "120s",
        "ALMANAC_CODEC_KEY_FILE": "/etc/almanac/codec-keys/ring",
        "ALMANAC_AUTH": "token",
        "ALMANAC_AUTH_TOKEN_FILE": "/etc/almanac/auth-tokens/list",
        "ALMANAC_NATS_URL": "tls://nats-0.nats:4222,tls://nats-1.nats:4223",
        "ALMANAC_NATS_CREDENTIALS": "/etc/almanac/nats-credentials/almanac.creds",
        "ALMANAC_NATS_CERT": "/etc/almanac/nats-client/tls.crt",
        "ALMANAC_NATS_KEY": "/etc/almanac/nats-client/tls.key",
        "ALMANAC_NATS_CA": "/etc/almanac/nats-ca/root.pem",
        "TEMPORAL_ADDRESS": "[fd00::7]:7233",
        "TEMPORAL_NAMESPACE": "orders",
        "TEMPORAL_API_KEY_FILE": "/etc/almanac/temporal-api-key/token",
        "TEMPORAL_TLS": "true",
        "TEMPORAL_TLS_SERVER_NAME": "temporal.example",
        "TEMPORAL_TLS_CLIENT_CERT_PATH": "/etc/almanac/temporal-client/tls.crt",
        "TEMPORAL_TLS_CLIENT_KEY_PATH": "/etc/almanac/temporal-client/tls.key",
        "TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/etc/almanac/temporal-ca/root.pem",
    }
    assert expected.items() <= own.items()
    pod = only("Deployment", objects)["spec"]["template"]["spec"]
    sources = {
        volume["name"]: volume["secret"]["secretName"]
        for volume in pod["volumes"]
        if "secret" in volume
    }
    assert sources == {
        "temporal-api-key": "temporal", "temporal-client": "temporal-client",
        "temporal-ca": "authorities", "codec-keys": "payloads", "nats-credentials": "nats-almanac",
        "nats-client": "nats-client", "nats-ca": "authorities", "auth-tokens": "almanac-tokens",
        "secret-hub": "github-webhook", "secret-steps": "steps-key", "git-secret": "deploy-key",
    }  # fmt: skip
    assert worker(objects)["image"].startswith("registry.example/team/almanac@sha256:")
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert (
        pod["serviceAccountName"]
        == only("ServiceAccount", objects)["metadata"]["name"]
        == "scheduler"
    )
    assert pod["priorityClassName"] == "important" and pod["tolerations"] and pod["affinity"]
    assert [one["topologyKey"] for one in pod["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    deployment = only("Deployment", objects)
    assert deployment["metadata"]["annotations"] == {"example.com/owner": "orders"}
    metadata = deployment["spec"]["template"]["metadata"]
    assert (
        metadata["labels"]["sidecar.istio.io/inject"] == "false"
        and metadata["labels"]["team"] == "orders"
    )
    assert metadata["annotations"] == {"example.com/pod": "annotation"}
    assert deployment["spec"]["replicas"] == 3
    monitor = only("ServiceMonitor", objects)
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] == only("Service", objects)["spec"]["ports"][0]["name"]
    assert endpoint["relabelings"] == [{"targetLabel": "project", "replacement": "orders"}]
    rules = read(ROOT / "deploy/prometheus/rules.yaml")
    assert only("PrometheusRule", objects)["spec"] == rules


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("default", {53, 7233}),
        ("git-ssh", {53, 7233, 22}),
        ("git-password", {53, 7233, 8443}),
        ("everything", {53, 7233, 4222, 4223, 7999, 443}),
    ],
)
def test_the_network_policy_opens_the_ports_that_are_used(case: str, expected: set[int]) -> None:
    policy = only("NetworkPolicy", rendered(case))["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ports = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    assert set(ports) == expected
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": "http"}]]


def test_the_definitions_are_a_folder_of_a_config_map_or_of_git() -> None:
    def source(case: str) -> Manifest:
        volumes = only("Deployment", rendered(case))["spec"]["template"]["spec"]["volumes"]
        return next(volume for volume in volumes if volume["name"] == "definitions")

    files = rendered("cloud-mtls")
    assert source("cloud-mtls")["configMap"]["name"] == only("ConfigMap", files)["metadata"]["name"]
    assert "InvoiceRun" in only("ConfigMap", files)["data"]["nightly.yaml"]
    assert source("cloud-api-key")["configMap"]["name"] == "billing-definitions"
    assert "ConfigMap" not in {one["kind"] for one in rendered("cloud-api-key")}
    assert source("git-ssh") == {"name": "definitions", "emptyDir": {"sizeLimit": "1Gi"}}


@pytest.mark.parametrize("case", ["git-ssh", "git-password", "everything"])
def test_git_sync_fetches_before_the_worker_starts_and_then_beside_it(case: str) -> None:
    objects = rendered(case)
    spec = only("Deployment", objects)["spec"]["template"]["spec"]
    first, beside = spec["initContainers"][0], spec["containers"][1]
    assert variables(first)["GITSYNC_ONE_TIME"] == "true"
    assert variables(beside)["GITSYNC_MAX_FAILURES"] == "-1"
    root = next(one["mountPath"] for one in beside["volumeMounts"] if one["name"] == "definitions")
    own = variables(beside)
    # What git-sync links below its root is what the worker reads below its own folder.
    assert own["GITSYNC_ROOT"] == root
    folder = variables(worker(objects))["ALMANAC_DIR"]
    assert f"{folder}/".startswith(f"/definitions/{own['GITSYNC_LINK']}/")


GIT = {"repo": "https://git.example/a"}

BAD: list[tuple[Manifest, str]] = [
    ({"project": ""}, "/project"),
    ({"project": "Billing"}, "/project"),
    ({"project": "a" * 41}, "/project"),
    ({"replicas": -1}, "/replicas"),
    ({"replica": 2}, "'replica'"),
    ({"temporal": {"address": "temporal"}}, "/temporal/address"),
    ({"temporal": {"address": "https://temporal:7233"}}, "/temporal/address"),
    ({"temporal": {"apiKey": "abc"}}, "/temporal/apiKey"),
    ({"temporal": {"apiKey": {"value": "abc"}}}, "'value'"),
    ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"definitions": {"files": {"notes.txt": ""}}}, "notes.txt"),
    ({"definitions": {"files": {"a.yaml": {"id": "a"}}}}, "/definitions/files/a.yaml"),
    ({"definitions": {"configMap": "a", "gitSync": GIT}}, "/definitions"),
    ({"definitions": {"configMap": "a", "files": {"a.yaml": ""}}}, "/definitions"),
    ({"definitions": {"files": {"a.yaml": ""}, "gitSync": GIT}}, "/definitions"),
    ({"definitions": {"gitSync": {"repo": "https://me:secret@git.example/a"}}}, "/gitSync/repo"),
    ({"definitions": {"gitSync": {"path": "../other"}}}, "/definitions/gitSync/path"),
    ({"definitions": {"gitSync": {"sshSecret": "a", "passwordSecret": "b"}}}, "/definitions"),
    ({"definitions": {"gitSync": {"period": "often"}}}, "/definitions/gitSync/period"),
    ({"nats": {"url": "nats://me:secret@nats:4222"}}, "/nats/url"),
    ({"nats": {"url": "nats:4222"}}, "/nats/url"),
    ({"options": {"drifts": "report"}}, "'drifts'"),
    ({"options": {"project": "other"}}, "'project'"),
    ({"options": {"drift": ["report"]}}, "/options/drift"),
    ({"options": {"codec-endpoint": "https://a"}, "codec": {"keys": {"secret": "a"}}}, "at ''"),
    ({"options": {"auth": "jwt"}, "auth": {"tokens": {"secret": "a"}}}, "at ''"),
    ({"secrets": {"Hub": "a"}}, "Hub"),
    ({"secrets": {"hub": ""}}, "/secrets/hub"),
    ({"shutdownTimeoutSeconds": "30s"}, "/shutdownTimeoutSeconds"),
    ({"listenAddress": "localhost"}, "/listenAddress"),
    ({"extraEnv": {"A": "b"}}, "/extraEnv"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    ({"service": {"port": 0}}, "/service/port"),
    ({"topologySpread": {"zone": "Always"}}, "/topologySpread/zone"),
    ({"livenessProbe": {"exec": {}}}, "'exec'"),
    ({"labels": {"a": 1}}, "/labels/a"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "place"), BAD, ids=lambda it: it if isinstance(it, str) else "")
def test_bad_values_are_refused(values: Manifest, place: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refusal:
        render(values)
    assert place in str(refusal.value)


def test_notes_say_what_is_missing() -> None:
    notes = render()["NOTES.txt"]
    assert "There are no definitions yet." in notes and "are not served" in notes
    notes = render(read(Path(__file__).parent / "values/cloud-api-key.yaml"))["NOTES.txt"]
    assert "definitions yet" not in notes and "port-forward" in notes


def test_the_chart_has_the_version_of_almanac() -> None:
    chart = read(CHART / "Chart.yaml")
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert version and chart["version"] == chart["appVersion"] == version[1]


def test_the_plain_manifests_are_those_of_the_default_values() -> None:
    folder = ROOT / "deploy/kubernetes"
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert files == plain(), "hint: make manifests"


def leaves(values: Manifest, prefix: str = "") -> list[str]:
    """Returns the path of each value, that of a map without members too."""
    return [
        path
        for key, value in values.items()
        for path in (
            leaves(value, f"{prefix}{key}.")
            if isinstance(value, dict) and value
            else [f"{prefix}{key}"]
        )
    ]


def test_the_documentation_describes_each_value() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    section = page.split("## Values\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    described = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(set(described)) == len(described)
    values = leaves(read(CHART / "values.yaml"))
    # A name with `.*` stands for all below it.
    groups = [name.removesuffix("*") for name in described if name.endswith(".*")]
    for value in values:
        assert value in described or any(value.startswith(group) for group in groups), value
    for name in described:
        assert any(value.startswith(name.removesuffix("*")) for value in values), name


def test_the_image_is_what_the_chart_expects() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    objects = manifests()
    context = only("Deployment", objects)["spec"]["template"]["spec"]["securityContext"]
    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    [port] = worker(objects)["ports"]
    assert f"\nEXPOSE {port['containerPort']}\n" in dockerfile
    own = variables(worker(objects))
    assert own["ALMANAC_LISTEN"].endswith(f":{port['containerPort']}")
    assert f"ALMANAC_DIR={own['ALMANAC_DIR']} " in dockerfile
    # The entry point is the program, so that `args` are its own.
    assert '"/usr/local/bin/almanac"]\nCMD ["run"]\n' in dockerfile
    assert "ALMANAC_LOG_FORMAT=json" in dockerfile
