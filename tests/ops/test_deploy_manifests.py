"""Claims about deploy/compose.yaml and deploy/kubernetes: they fit together, are locked down, and tools take them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from watchdog.config.load import load
from watchdog.version import VERSION

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
FOLDERS = ("base", "prometheus-operator")
COMPONENT = "replicas"
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
CONTAINER, SECOND, POSTGRESQL = (COMPOSE["services"][name] for name in ("certpack-watchdog", "replica", "postgresql"))


def kustomization(folder):
    return yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())


def resources(folder):
    """What a kustomization brings, by kind, as the files have it."""
    found = {}
    for place in kustomization(folder)["resources"]:
        path = KUBERNETES / folder / place
        found |= resources(path.name) if path.is_dir() else {(one := yaml.safe_load(path.read_text()))["kind"]: one}
    return found


ALL = resources("prometheus-operator")
DEPLOYMENT = ALL["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
[DAEMON] = POD["containers"]
SHARED = {"app.kubernetes.io/name": "certpack-watchdog"}


# ── Kustomize ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("folder", [*FOLDERS, COMPONENT])
def test_a_kustomization_names_files_that_are_there_and_leaves_none_out(folder):
    wanted = kustomization(folder)
    made = [file for each in wanted.get("configMapGenerator", ()) for file in each["files"]]
    patches = [patch["path"] for patch in wanted.get("patches", ()) if "path" in patch]
    named = [*wanted["resources"], *made, *patches]
    assert all((KUBERNETES / folder / place).exists() for place in named)
    there = {path.name for path in (KUBERNETES / folder).iterdir()} - {"kustomization.yaml"}
    assert there == {place for place in named if "/" not in place}


def test_the_image_is_that_of_this_version():
    [image] = kustomization("base")["images"]
    assert (image["name"], image["newTag"]) == (DAEMON["image"], VERSION)
    assert CONTAINER["image"] == f"certpack-watchdog:{VERSION}"


def test_selectors_find_the_pod():
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    assert labels == SHARED == kustomization("base")["labels"][0]["pairs"]
    assert DEPLOYMENT["selector"]["matchLabels"] == labels
    assert ALL["Service"]["spec"]["selector"] == labels
    assert ALL["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert ALL["ServiceMonitor"]["spec"]["selector"]["matchLabels"] == labels  # of the service, which has the same


def test_ports_are_named_and_asked_for_by_that_name():
    [port] = DAEMON["ports"]
    [served] = ALL["Service"]["spec"]["ports"]
    [scraped] = ALL["ServiceMonitor"]["spec"]["endpoints"]
    [let_in] = ALL["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    probes = [DAEMON[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    asked = [served["targetPort"], let_in["port"], *(probe["port"] for probe in probes)]
    assert {*asked} == {port["name"]}
    assert scraped["port"] == served["name"]
    assert [probe["path"] for probe in probes] == ["/healthz", "/healthz", "/readyz"]


def test_one_daemon_at_a_time_holds_the_state():
    assert DEPLOYMENT["replicas"] == 1
    assert DEPLOYMENT["strategy"] == {"type": "Recreate"}
    assert ALL["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_a_request_that_was_sent_has_time_to_be_settled():
    assert POD["terminationGracePeriodSeconds"] > 20
    assert CONTAINER["stop_grace_period"] == "30s"


def test_the_pod_passes_the_restricted_standard():
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    assert ALL["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & POD.keys()
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] > 0
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert DAEMON["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds = {kind for volume in POD["volumes"] for kind in volume.keys() - {"name"}}
    assert kinds <= {"configMap", "secret", "persistentVolumeClaim", "emptyDir"}


def test_the_pod_has_no_token_for_the_cluster():
    assert POD["automountServiceAccountToken"] is False
    assert ALL["ServiceAccount"]["automountServiceAccountToken"] is False
    assert POD["serviceAccountName"] == ALL["ServiceAccount"]["metadata"]["name"]


def test_secrets_are_named_and_none_is_here():
    assert "Secret" not in ALL
    [secret] = [volume["secret"] for volume in POD["volumes"] if "secret" in volume]
    assert secret == {"secretName": "certpack-watchdog", "defaultMode": 0o400}


def test_volumes_and_what_they_are_of_fit_together():
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert {mount["name"] for mount in DAEMON["volumeMounts"]} == volumes.keys()
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == ALL["PersistentVolumeClaim"]["metadata"]["name"]
    [made] = kustomization("base")["configMapGenerator"]
    assert (volumes["config"]["configMap"]["name"], made["files"]) == (made["name"], ["config.yaml"])


def test_the_configuration_is_taken_and_uses_the_mounted_secret_the_volume_and_the_port(tmp_path):
    mounts = {mount["name"]: mount["mountPath"] for mount in DAEMON["volumeMounts"]}
    text = (KUBERNETES / "base" / "config.yaml").read_text()
    token = f"{mounts['secrets']}/token"
    assert f"api_token_file: {token}\n" in text
    (tmp_path / "token").write_text("planted")
    (tmp_path / "config.yaml").write_text(text.replace(token, str(tmp_path / "token")))
    config = load(tmp_path / "config.yaml", {})
    assert config.state.url.get_secret_value().startswith(f"sqlite:///{mounts['state']}/")
    assert config.web.listen == f"0.0.0.0:{DAEMON['ports'][0]['containerPort']}"
    assert mounts["config"] == "/etc/certpack-watchdog"


def test_nothing_leaves_for_private_networks_but_questions_to_resolvers():
    resolvers, web = ALL["NetworkPolicy"]["spec"]["egress"]
    assert {port["port"] for port in resolvers["ports"]} == {53}
    assert {port["port"] for port in web["ports"]} == {80, 443}
    closed = {network for to in web["to"] for network in to["ipBlock"]["except"]}
    assert closed >= {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7"}
    assert set(ALL["NetworkPolicy"]["spec"]["policyTypes"]) == {"Ingress", "Egress"}


# ── two replicas ─────────────────────────────────────────────────────────────────────────────────────────────────────

REPLICAS = resources(COMPONENT)
PATCHED = yaml.safe_load((KUBERNETES / COMPONENT / "deployment.yaml").read_text())["spec"]


def test_of_two_replicas_one_is_always_ready():
    assert PATCHED["replicas"] == 2
    assert PATCHED["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert REPLICAS["PodDisruptionBudget"]["spec"]["maxUnavailable"] < PATCHED["replicas"]


def test_what_is_said_of_replicas_is_said_of_the_pods():
    spread = PATCHED["template"]["spec"]["topologySpreadConstraints"]
    budget, policy = REPLICAS["PodDisruptionBudget"]["spec"], REPLICAS["NetworkPolicy"]["spec"]
    found = [*(each["labelSelector"] for each in spread), budget["selector"], policy["podSelector"]]
    assert [each["matchLabels"] for each in found] == [SHARED] * len(found)
    assert {each["topologyKey"] for each in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_replicas_have_the_same_configuration_as_one_daemon_but_for_the_state(tmp_path):
    secrets = f"{next(m['mountPath'] for m in DAEMON['volumeMounts'] if m['name'] == 'secrets')}/"
    (tmp_path / "token").write_text("planted")
    (tmp_path / "state-url").write_text("postgresql://u:planted@db.example/certs")
    texts = [(KUBERNETES / folder / "config.yaml").read_text() for folder in ("base", COMPONENT)]
    alone, shared = (yaml.safe_load(text) for text in texts)
    assert shared.pop("state") == {"url_file": f"{secrets}state-url"}
    assert shared == alone
    (tmp_path / "config.yaml").write_text(texts[1].replace(secrets, f"{tmp_path}/"))
    assert load(tmp_path / "config.yaml", {}).state.url.get_secret_value().startswith("postgresql://")


# ── the Prometheus operator ──────────────────────────────────────────────────────────────────────────────────────────

Duration = Annotated[str, Field(pattern=r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Rule(Strict):
    alert: str = ""
    record: str = ""
    expr: str
    for_: Duration = Field(default="", alias="for")
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Group(Strict):
    name: Annotated[str, Field(min_length=1)]
    rules: list[Rule]


class Groups(Strict):
    groups: list[Group]


class Named(Strict):
    name: str


class PrometheusRule(Strict):
    """What of the operator's own definition the rules use."""

    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Named
    spec: Groups


class Relabeling(Strict):
    targetLabel: str
    replacement: str


class Endpoint(Strict):
    port: str
    interval: Duration
    honorLabels: bool
    relabelings: list[Relabeling]


class Selector(Strict):
    matchLabels: dict[str, str]


class Monitoring(Strict):
    jobLabel: str
    selector: Selector
    endpoints: list[Endpoint]


class ServiceMonitor(Strict):
    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Named
    spec: Monitoring


@pytest.mark.parametrize("kind", [PrometheusRule, ServiceMonitor], ids=lambda kind: kind.__name__)
def test_what_the_operator_defines_is_used_as_it_defines_it(kind):
    # Held once against the operator's own definitions, too, which are 1,500 lines.
    kind.model_validate(ALL[kind.__name__])


def test_the_rules_find_the_job_that_the_operator_makes():
    label = ALL["ServiceMonitor"]["spec"]["jobLabel"]
    rules = ALL["PrometheusRule"]["spec"]["groups"]
    jobs = {job for group in rules for rule in group["rules"] for job in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert jobs == {SHARED[label]}


# ── Compose ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_container_of_compose_is_locked_down_as_the_image_allows():
    assert CONTAINER["read_only"] is True
    assert CONTAINER["cap_drop"] == ["ALL"]
    assert CONTAINER["security_opt"] == ["no-new-privileges:true"]
    assert re.search(rf"(?m)^USER {CONTAINER['user']}$", (ROOT / "Dockerfile").read_text())
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "environment"} & CONTAINER.keys()


def test_compose_keeps_the_state_in_a_volume_and_takes_secrets_from_files():
    named = {volume.split(":")[0]: volume.split(":")[1:] for volume in CONTAINER["volumes"]}
    assert named["state"] == ["/var/lib/certpack-watchdog"]
    assert named["./config"] == ["/etc/certpack-watchdog", "ro"]
    assert named["./secrets"] == ["/run/secrets", "ro"]
    [database] = [volume.split(":")[0] for volume in POSTGRESQL["volumes"]]
    assert COMPOSE["volumes"].keys() == {"state", database}
    assert COMPOSE["secrets"] == {name: {"file": f"./secrets/{name}"} for name in POSTGRESQL["secrets"]}


def test_without_its_profile_compose_starts_one_daemon_and_no_database():
    assert [name for name, service in COMPOSE["services"].items() if "profiles" not in service] == ["certpack-watchdog"]
    assert SECOND["profiles"] == POSTGRESQL["profiles"] == ["postgresql"]


def test_the_second_replica_of_compose_is_the_first_but_for_its_name_and_its_port():
    own = {"profiles", "hostname", "ports", "depends_on"}
    assert {name: value for name, value in SECOND.items() if name not in own} == {
        name: value for name, value in CONTAINER.items() if name not in own
    }
    assert (SECOND["hostname"], SECOND["ports"]) != (CONTAINER["hostname"], CONTAINER["ports"])


def test_the_database_of_compose_is_published_nowhere_and_its_password_is_in_a_file():
    assert "ports" not in POSTGRESQL
    said = POSTGRESQL["environment"]
    assert said["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{POSTGRESQL['secrets'][0]}"
    assert not {"POSTGRES_PASSWORD", "POSTGRES_HOST_AUTH_METHOD"} & said.keys()
    assert POSTGRESQL["cap_drop"] == ["ALL"]


def test_compose_asks_for_health_as_the_image_does_and_publishes_on_loopback_alone():
    asked = json.dumps(CONTAINER["healthcheck"]["test"][1:])
    assert f"CMD {asked}" in (ROOT / "Dockerfile").read_text()
    assert all(port.startswith("127.0.0.1:") for port in [*CONTAINER["ports"], *SECOND["ports"]])


def test_a_container_comes_back_after_the_machine_was_restarted():
    assert CONTAINER["restart"] == "unless-stopped"
    said = (ROOT / "docs" / "deploy.md").read_text()
    assert "--restart unless-stopped" in said
    assert "--restart always" in said  # with Podman, whose unit for a boot takes no other


def test_a_container_is_given_as_long_to_stop_as_the_daemon_may_take():
    assert "--stop-timeout 30" in (ROOT / "docs" / "deploy.md").read_text()


# ── the real tools ───────────────────────────────────────────────────────────────────────────────────────────────────


def tool(module, package):
    """The module, or the test is skipped by name and reason."""
    return pytest.importorskip(module, reason=f"{package} not installed (PyPI; requirements/manifests.txt)")


needs_kubectl = pytest.mark.skipif(
    not shutil.which("kubectl"), reason="kubectl not installed: it builds kustomizations"
)


def built(folder):
    """What ``kubectl apply -k`` would send; it asks no cluster."""
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def in_namespace(found):
    """As a kustomization would send it, near enough for a schema."""
    return [one | {"metadata": one["metadata"] | {"namespace": "certpack-watchdog"}} for one in found.values()]


@pytest.mark.real
@needs_kubectl
@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_builds_everything_and_the_configuration_keeps_its_name(folder):
    objects = {one["kind"]: one for one in built(KUBERNETES / folder)}
    assert objects.keys() == {*resources(folder), "ConfigMap"}
    name = objects["ConfigMap"]["metadata"]["name"]
    assert name == "certpack-watchdog"
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert name in [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    assert pod["containers"][0]["image"] == f"certpack-watchdog:{VERSION}"
    assert all(
        one["metadata"].get("namespace") == "certpack-watchdog"
        for one in objects.values()
        if one["kind"] != "Namespace"
    )
    assert objects["Service"]["metadata"]["labels"] == SHARED


def overlay(folder, below):
    """What an operator writes for two replicas; gives its folder."""
    shutil.copytree(KUBERNETES, below / "kubernetes")
    (below / "overlay").mkdir()
    wanted = {
        "namespace": "certpack-watchdog",
        "resources": [f"../kubernetes/{folder}"],
        "components": [f"../kubernetes/{COMPONENT}"],
    }
    (below / "overlay" / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    return below / "overlay"


@pytest.mark.real
@needs_kubectl
@pytest.mark.parametrize("folder", FOLDERS)
def test_with_the_component_two_replicas_share_a_database_and_no_disk(folder, tmp_path):
    objects = built(overlay(folder, tmp_path))
    kinds = [one["kind"] for one in objects]
    alone = [one["kind"] for one in built(KUBERNETES / folder)]
    assert sorted(kinds) == sorted(
        [*(kind for kind in alone if kind != "PersistentVolumeClaim"), "NetworkPolicy", "PodDisruptionBudget"]
    )
    one = dict(zip(kinds, objects, strict=True))
    deployment = one["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 2
    assert [volume["name"] for volume in pod["volumes"]] == ["config", "secrets", "tmp"]
    assert [mount["name"] for mount in pod["containers"][0]["volumeMounts"]] == ["config", "secrets", "tmp"]
    assert pod["containers"][0]["readinessProbe"] == DAEMON["readinessProbe"]
    assert yaml.safe_load(one["ConfigMap"]["data"]["config.yaml"])["state"].keys() == {"url_file"}
    for endpoint in one["ServiceMonitor"]["spec"]["endpoints"] if "ServiceMonitor" in one else ():
        assert endpoint["relabelings"] == [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}]


OPERATORS = {"ServiceMonitor", "PrometheusRule"}  # not Kubernetes' own


@pytest.mark.real
@pytest.mark.parametrize("version", ["1.27", ""], ids=["oldest", "newest"])
def test_the_schemas_of_kubernetes_take_every_manifest(version, tmp_path):
    kubernetes = tool("kubernetes_validate", "kubernetes-validate")
    if shutil.which("kubectl"):
        objects = [*built(KUBERNETES / "prometheus-operator"), *built(overlay("prometheus-operator", tmp_path))]
    else:
        objects = [*in_namespace(ALL), *in_namespace(REPLICAS)]
    for one in objects:
        if one["kind"] not in OPERATORS:
            kubernetes.validate(one, version or kubernetes.latest_version(), strict=True)


@pytest.mark.real
def test_the_schemas_of_kubernetes_would_find_a_slip():
    kubernetes = tool("kubernetes_validate", "kubernetes-validate")
    wrong = ALL["Deployment"] | {"spec": DEPLOYMENT | {"replica": 1}}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(wrong, kubernetes.latest_version(), strict=True)


@pytest.mark.real
def test_the_schema_of_compose_takes_the_file():
    tool("check_jsonschema", "check-jsonschema")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "deploy/compose.yaml",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.real
def test_the_editors_schema_is_a_schema_and_takes_the_examples():
    tool("check_jsonschema", "check-jsonschema")
    check = [sys.executable, "-m", "check_jsonschema"]
    schema = str(ROOT / "docs" / "config.schema.json")
    examples = [str(ROOT / "config.example.yaml"), *map(str, KUBERNETES.glob("*/config.yaml"))]
    for command in ([*check, "--check-metaschema", schema], [*check, "--schemafile", schema, *examples]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
