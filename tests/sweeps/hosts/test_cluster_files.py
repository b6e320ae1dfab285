"""The cluster files, against Ray's schema and autoscaler, KubeRay's required fields, and the pins of pyproject.toml."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from click.testing import CliRunner

from sweeps.cli.__main__ import app
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "clusters"
AWS, GCP, ON_PREMISE = REPOSITORY / "cluster.yaml", FOLDER / "gcp.yaml", FOLDER / "on-premise.yaml"
VIRTUAL_MACHINES = (AWS, GCP, ON_PREMISE)
KUBERNETES = (FOLDER / "kubernetes.yaml", FOLDER / "kubernetes-job.yaml")
INSTALLERS = (*VIRTUAL_MACHINES, FOLDER / "Dockerfile")
ALL = tuple(sorted({*INSTALLERS, *KUBERNETES, *FOLDER.glob("*.y*ml"), *FOLDER.glob("*.service")}))

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PINS = dict(line.partition(" ;")[0].split("==") for line in PROJECT["tool"]["uv"]["constraint-dependencies"])

REQUIRED = {
    "RayCluster": ("headGroupSpec",),
    "RayJob": ("entrypoint", "rayClusterSpec"),
    "headGroupSpec": ("rayStartParams", "template"),
    "workerGroupSpecs": ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
}
"""What the resource definitions of KubeRay require: `ray-operator/config/crd/bases/ray.io_rayclusters.yaml` and
`ray.io_rayjobs.yaml`, made from the Go types in `ray-operator/apis/ray/v1`; a field without `omitempty` is required.
`entrypoint` and `rayClusterSpec` are optional there, but a job that brings its cluster has no use without them."""


def name(path: Path) -> str:
    return path.name


def loaded(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def cluster_spec(path: Path) -> dict[str, Any]:
    spec = loaded(path)["spec"]
    return dict(spec.get("rayClusterSpec", spec))


def pods(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = cluster_spec(path)
    yield "headGroupSpec", spec["headGroupSpec"]
    for group in spec["workerGroupSpecs"]:
        yield "workerGroupSpecs", group


def commands(path: Path, kind: str) -> str:
    return "\n".join(loaded(path)[kind])


def ray_schema() -> dict[str, Any]:
    import ray.autoscaler

    return dict(json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text()))


# ---- as Ray reads them


@pytest.mark.parametrize("path", VIRTUAL_MACHINES, ids=name)
def test_cluster_file_as_written_keeps_rays_schema(path: Path) -> None:
    jsonschema.validate(loaded(path), ray_schema())


@pytest.mark.parametrize("path", VIRTUAL_MACHINES, ids=name)
def test_cluster_file_with_defaults_passes_rays_own_validation(path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(loaded(path)))


@pytest.mark.parametrize("path", VIRTUAL_MACHINES, ids=name)
def test_cluster_file_with_an_unknown_key_would_be_refused(path: Path) -> None:
    with pytest.raises(jsonschema.ValidationError, match="min_workers"):
        jsonschema.validate({**loaded(path), "min_workers": 0}, ray_schema())


@pytest.mark.parametrize("path", KUBERNETES, ids=name)
def test_kubernetes_manifest_gives_ray_a_valid_autoscaler_config(path: Path) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    resource = {"metadata": {"name": "subind", "namespace": "default"}, "spec": cluster_spec(path)}
    derived = _derive_autoscaling_config_from_ray_cr(resource)
    jsonschema.validate(derived, ray_schema())
    head, workers = derived["available_node_types"]["headgroup"], derived["available_node_types"]["gpu"]
    assert head["resources"]["CPU"] == 0
    assert (workers["min_workers"], workers["max_workers"], workers["resources"]["GPU"]) == (0, 10, 1)
    assert derived["idle_timeout_minutes"] == 10


@pytest.mark.parametrize("path", KUBERNETES, ids=name)
def test_kubernetes_manifest_has_the_fields_that_kuberay_requires(path: Path) -> None:
    manifest = loaded(path)
    assert manifest["apiVersion"] == "ray.io/v1"
    assert manifest["metadata"]["name"]
    missing = [field for field in REQUIRED[manifest["kind"]] if field not in manifest["spec"]]
    for kind, group in pods(path):
        missing += [f"{kind}.{field}" for field in REQUIRED[kind] if field not in group]
    assert missing == []


@pytest.mark.parametrize("path", KUBERNETES, ids=name)
def test_kubernetes_pods_have_containers_with_equal_requests_and_limits(path: Path) -> None:
    for _, group in pods(path):
        for container in group["template"]["spec"]["containers"]:
            assert container["name"]
            assert container["resources"]["requests"] == container["resources"]["limits"]


def test_kubernetes_job_runs_on_the_cluster_of_the_other_manifest() -> None:
    cluster, job = map(cluster_spec, KUBERNETES)
    assert job == cluster


# ---- exactly the pinned versions


@pytest.mark.parametrize("path", INSTALLERS, ids=name)
def test_nodes_install_the_project_with_the_constraints_of_pyproject(path: Path) -> None:
    text = path.read_text()
    assert "source.tar.gz" in text
    assert len(re.findall(r"uv sync --project \S*subind --no-dev --python \d", text)) == 1
    assert re.findall(r"pip3? install|conda |--upgrade|--frozen|latest/ray", text) == []


def test_constraints_pin_every_dependency_of_the_project() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    named = [*PROJECT["project"]["dependencies"], *(each for extra in extras for each in extra)]
    assert [each for each in named if each.partition("[")[0].lower() not in PINS] == []


@pytest.mark.parametrize("path", ALL, ids=name)
def test_versions_in_cluster_files_are_those_of_pyproject(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"\b([a-z][a-z0-9-]+)==([\w.]+)", text)
    named += [("ray", each) for each in re.findall(r"(?:rayVersion: \"|rayproject/ray:)([\d.]+)", text)]
    assert [(package, version) for package, version in named if PINS.get(package) != version] == []
    assert set(re.findall(r"subind:(\d[\w.]*)", text)) <= {PROJECT["project"]["version"]}


def test_python_and_uv_are_the_same_on_every_kind_of_node() -> None:
    texts = {path.name: path.read_text() for path in INSTALLERS}
    pythons = {file: set(re.findall(r"--python (\S+)|FROM python:(\d+\.\d+)", text)) for file, text in texts.items()}
    uvs = {file: set(re.findall(r"uv[/:](\d+\.\d+\.\d+)", text)) for file, text in texts.items()}
    assert {version for found in pythons.values() for pair in found for version in pair if version} == {"3.11"}
    assert all(pythons.values())
    assert all(len(found) == 1 for found in uvs.values())
    assert len(set.union(*uvs.values())) == 1


@pytest.mark.parametrize("path", [AWS, GCP], ids=name)
def test_cloud_nodes_install_the_extra_of_their_object_store(path: Path) -> None:
    extra = {"aws": "s3", "gcp": "gcs"}[loaded(path)["provider"]["type"]]
    assert f"--extra {extra}" in commands(path, "setup_commands")
    assert f"uv run --extra {extra} ray up" in path.read_text()


# ---- for a night in which nobody watches


@pytest.mark.parametrize("path", [AWS, GCP], ids=name)
def test_cloud_workers_are_spot_and_scale_to_zero(path: Path) -> None:
    config = loaded(path)
    head = config["available_node_types"][config["head_node_type"]]
    workers = [each for kind, each in config["available_node_types"].items() if kind != config["head_node_type"]]
    assert (head["resources"]["CPU"], head["max_workers"]) == (0, 0)
    assert [(each["min_workers"], each["max_workers"]) for each in workers] == [(0, config["max_workers"])]
    for each in workers:
        node = each["node_config"]
        market = node.get("InstanceMarketOptions", {}).get("MarketType") or node["scheduling"]["provisioningModel"]
        assert market.lower() == "spot"
    assert "spot" not in json.dumps(head).lower()


@pytest.mark.parametrize("path", KUBERNETES, ids=name)
def test_kubernetes_workers_are_spot_and_the_head_is_not(path: Path) -> None:
    found = {kind: "gke-spot" in json.dumps(group["template"]["spec"]) for kind, group in pods(path)}
    assert found == {"headGroupSpec": False, "workerGroupSpecs": True}


@pytest.mark.parametrize("path", VIRTUAL_MACHINES, ids=name)
def test_idle_nodes_are_given_back_after_minutes(path: Path) -> None:
    assert 1 <= loaded(path)["idle_timeout_minutes"] <= 30


# ---- nobody else gets in


@pytest.mark.parametrize("path", VIRTUAL_MACHINES, ids=name)
def test_dashboard_listens_on_loopback_and_asks_for_the_token(path: Path) -> None:
    head = commands(path, "head_start_ray_commands")
    assert re.findall(r"--dashboard-host=(\S+)", head) == ["127.0.0.1"]
    assert "--ray-client-server-port" not in head
    assert "RAY_AUTH_MODE=token" in commands(path, "setup_commands")
    assert loaded(path)["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("path", KUBERNETES, ids=name)
def test_kubernetes_cluster_asks_for_the_token_and_has_no_public_service(path: Path) -> None:
    spec = cluster_spec(path)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not spec["headGroupSpec"].get("enableIngress", False)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_cluster_file_holds_no_secret(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"AKIA[A-Z0-9]{16}|BEGIN [A-Z ]*PRIVATE KEY|[0-9a-f]{40,}", text) == []
    assert re.findall(r"(?i)(?:password|token|secret\w*)\s*[:=]\s*['\"]?[a-z0-9+/]{12,}", text) == []


# ---- the tracking server, and the commands that all of these files name


def test_tracking_server_is_published_on_loopback_with_secrets_from_a_file() -> None:
    services = loaded(FOLDER / "compose.yaml")["services"]
    assert services["mlflow"]["ports"] == ["127.0.0.1:5000:5000"]
    assert "ports" not in services["database"]
    assert {each["env_file"] for each in services.values()} == {"mlflow.env"}


def test_tracking_unit_takes_secrets_from_a_file_and_listens_on_loopback() -> None:
    unit = (FOLDER / "mlflow.service").read_text()
    assert "EnvironmentFile=/etc/subind/mlflow.env" in unit
    assert "--host" not in unit
    assert not re.search(r"^Environment=", unit, re.MULTILINE)


DOCUMENTS = (*ALL, REPOSITORY / "docs" / "cluster.md")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_commands_that_a_file_names_are_understood(path: Path) -> None:
    text = re.sub(r"\\\n\s*|>-\n\s*|(?<=mlflow\.example\.org)\n\s+(?=--)", " ", path.read_text())
    found = re.findall(
        r"(?:uv run (?:--extra \w+ )?|ExecStart=\S*/|command: +|entrypoint: )subind (\w[^\n`&#|]*)", text
    )
    command = typer.main.get_command(app)
    wrong = {}
    for words in (each.partition("  ")[0].split() for each in found):
        outcome = CliRunner().invoke(command, [*words, "--help"])
        if outcome.exit_code:
            wrong[" ".join(words)] = outcome.output
    assert wrong == {}
    assert found or path.name == "Dockerfile" or "subind " not in text
