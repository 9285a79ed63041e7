"""The manifests, as kustomize renders them: valid, of the same rules and dashboards as elsewhere, and restricted."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from processes import ROOT

from deploy.kubernetes.__main__ import FILE, FOLDER, RULES, text
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings

PORT = 9464
OF_THE_OPERATOR = {"PodMonitor", "PrometheusRule"}
"""The kinds that the Prometheus Operator adds: Kubernetes' own schemas do not know them."""

Manifest = Mapping[str, Any]


@pytest.fixture(scope="module")
def manifests() -> Sequence[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl here")
    return rendered(FOLDER)


def rendered(folder: Path) -> Sequence[Manifest]:
    done = subprocess.run(["kubectl", "kustomize", folder], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(manifests: Sequence[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def config_maps(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    return {found["metadata"]["name"]: found for found in manifests if found["kind"] == "ConfigMap"}


def pod(manifests: Sequence[Manifest]) -> Manifest:
    found: Manifest = one(manifests, "StatefulSet")["spec"]["template"]
    return found


def container(manifests: Sequence[Manifest]) -> Manifest:
    (found,) = pod(manifests)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("manifests")
def test_the_kustomization_that_the_documentation_has_mounts_its_token(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    mine, token = re.findall(r"^```\n((?:apiVersion: kustomize|patches:).*?)^```$", text, re.MULTILINE | re.DOTALL)
    for part in ("kubernetes", "grafana"):
        shutil.copytree(ROOT / "deploy" / part, tmp_path / "learnd" / "deploy" / part)
    (tmp_path / "mine").mkdir()
    shutil.copy(FOLDER / "settings.yaml", tmp_path / "mine")
    (tmp_path / "mine" / "kustomization.yaml").write_text(mine + token)
    made = rendered(tmp_path / "mine")
    (secret,) = [volume for volume in pod(made)["spec"]["volumes"] if volume["name"] == "token"]
    (mount,) = [each for each in container(made)["volumeMounts"] if each["name"] == "token"]
    assert secret["secret"] == {"secretName": "learnd-token"}
    assert f"http: {{token_file: {mount['mountPath']}/token}}" in text
    assert one(made, "StatefulSet")["metadata"]["namespace"] == "fraud"


def test_each_is_of_the_form_that_kubernetes_takes(manifests: Sequence[Manifest]) -> None:
    kinds = {manifest["kind"] for manifest in manifests}
    assert kinds == {"StatefulSet", "Service", "NetworkPolicy", "ConfigMap", *OF_THE_OPERATOR}
    for manifest in manifests:
        if manifest["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(manifest, "1.32", strict=True)


def test_a_misspelt_key_is_not(manifests: Sequence[Manifest]) -> None:
    misspelt = {**one(manifests, "Service"), "spec": {"clusterIp": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, "1.32", strict=True)


def test_the_rules_are_those_that_prometheus_reads(manifests: Sequence[Manifest]) -> None:
    assert FILE.read_text() == text(), "run `make dashboards`"
    assert one(manifests, "PrometheusRule")["spec"] == yaml.safe_load(RULES.read_text())


def test_the_dashboards_are_the_files(manifests: Sequence[Manifest]) -> None:
    files = {path.stem: path for path in (ROOT / "deploy" / "grafana").glob("*.json")}
    maps = config_maps(manifests)
    assert set(files) <= set(maps)
    for name, file in files.items():
        assert maps[name]["data"] == {file.name: file.read_text()}
        assert maps[name]["metadata"]["labels"] == {"grafana_dashboard": "1"}


def test_the_daemon_reads_the_settings_and_they_are_sound(manifests: Sequence[Manifest], tmp_path: Path) -> None:
    (volume,) = [found for found in pod(manifests)["spec"]["volumes"] if found["name"] == "settings"]
    data = config_maps(manifests)[volume["configMap"]["name"]]["data"]
    _, given, *_ = container(manifests)["args"]
    (tmp_path / "settings.yaml").write_text(data[Path(given).name])
    mounts = {mount["mountPath"] for mount in container(manifests)["volumeMounts"]}
    assert {str(Path(given).parent), "/state", "/tmp"} == mounts
    assert load_settings(tmp_path / "settings.yaml").http.listen == f"0.0.0.0:{PORT}"


def test_a_clean_stop_has_the_time_that_it_may_take(manifests: Sequence[Manifest]) -> None:
    budget = Settings.model_fields["shutdown_timeout_s"].default
    assert pod(manifests)["spec"]["terminationGracePeriodSeconds"] > budget


def test_one_daemon_has_the_state(manifests: Sequence[Manifest]) -> None:
    spec = one(manifests, "StatefulSet")["spec"]
    assert spec["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["state"]


def test_it_is_found_by_its_labels_and_ports(manifests: Sequence[Manifest]) -> None:
    labels = pod(manifests)["metadata"]["labels"]
    monitor, policy = one(manifests, "PodMonitor")["spec"], one(manifests, "NetworkPolicy")["spec"]
    selectors = [
        one(manifests, "StatefulSet")["spec"]["selector"]["matchLabels"],
        one(manifests, "Service")["spec"]["selector"],
        monitor["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert labels[monitor["jobLabel"]] == "learnd", "the alerts go by this job"
    (port,) = container(manifests)["ports"]
    assert port == {"name": "http", "containerPort": PORT}
    probes = [container(manifests)[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert probes == [{"path": path, "port": "http"} for path in ("/healthz", "/healthz", "/readyz")]
    assert [endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]] == ["http"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_it_keeps_to_the_restricted_pod_security_standard(manifests: Sequence[Manifest]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards: what `restricted` asks for, and more."""
    spec, secured = pod(manifests)["spec"], container(manifests)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert secured == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} <= {"configMap", "emptyDir"}
    assert spec["automountServiceAccountToken"] is False


def test_it_runs_as_the_user_of_the_image(manifests: Sequence[Manifest]) -> None:
    (line,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("USER ")]
    context = pod(manifests)["spec"]["securityContext"]
    assert line == f"USER {context['runAsUser']}:{context['runAsGroup']}"
    assert context["fsGroup"] == context["runAsGroup"]
