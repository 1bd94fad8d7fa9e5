"""The files of `include_deploy`, checked without a container engine and without a cluster: each by the schema or the
linter of its tool, with unknown keys refused; the commands of the Dockerfile are run."""

import copy
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import kubernetes_validate
import pytest
import yaml
from conftest import files
from dockerfile_parse import DockerfileParser
from finetune.cli import cli, main
from finetune.run.kubeflow import TrainJobStatus
from finetune.serving.limits import Limits
from ft_template.create.bake import bake
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob, TrainerV1alpha1UpdateTrainJobStatusRequest
from rich.console import Console

from dev import setup_env

KUBERNETES = ("1.30", kubernetes_validate.latest_version())
"""The oldest version that has all that is used (`lifecycle.preStop.sleep`), and the newest."""
OVERLAYS = ("serve-cpu", "serve-gpu", "train-cpu", "train-gpu", "train-kubeflow")
KINDS = {
    "serve": ["Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"],
    "train": ["Job", "PersistentVolumeClaim"],
}
FILES = {
    ".dockerignore",
    *(f"deploy/{name}" for name in ("Dockerfile", "compose.gpu.yaml", "compose.yaml", "skypilot.yaml", "slurm.sh")),
    *(f"deploy/kubernetes/base/{base}/kustomization.yaml" for base in ("serve", "storage", "train")),
    *(f"deploy/kubernetes/base/serve/{name}.yaml" for name in ("autoscaler", "deployment", "disruption", "service")),
    "deploy/kubernetes/base/storage/storage.yaml",
    "deploy/kubernetes/base/train/job.yaml",
    *(f"deploy/kubernetes/overlays/{overlay}/kustomization.yaml" for overlay in OVERLAYS),
    "deploy/kubernetes/overlays/serve-gpu/deployment.yaml",
    "deploy/kubernetes/overlays/train-gpu/job.yaml",
    "deploy/kubernetes/overlays/train-kubeflow/trainjob.yaml",
}
UID = 10001


@pytest.fixture(scope="module")
def deployed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with deploy/; its name is no name of an image, a pod or a service as it stands."""
    answers = {"environment": "none", "include_deploy": "yes", "project_slug": "2nd_Mood.v1"}
    return bake(tmp_path_factory.mktemp("deploy"), answers, template=repository)


def test_exactly_these_files_come_with_the_answer(deployed: Path, bake_project: Any) -> None:
    plain = bake_project(project_slug="2nd_Mood.v1")
    assert set(files(deployed)) - set(files(plain)) == FILES
    assert not (plain / "deploy").exists()
    record = json.loads((deployed / ".ft-template.json").read_text("utf-8"))["default_context"]
    assert record["include_deploy"] is True


# ------------------------------------------------------------------------------------------------------------ container


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or "hadolint"
    return subprocess.run([program, "--no-color", dockerfile], capture_output=True, text=True, check=False)


def test_the_linter_has_no_objection(deployed: Path, tmp_path: Path) -> None:
    checked = hadolint(deployed / "deploy/Dockerfile")
    assert (checked.returncode, checked.stdout) == (0, "")

    text = (deployed / "deploy/Dockerfile").read_text("utf-8")
    (tmp_path / "Dockerfile").write_text(text.replace("==0.", ">=0.").replace(f"USER {UID}:{UID}", "USER root"))
    found = hadolint(tmp_path / "Dockerfile").stdout
    assert "DL3013" in found  # a package without its version
    assert "DL3002" in found  # root


def instructions(deployed: Path) -> list[tuple[str, str]]:
    parser = DockerfileParser(fileobj=(deployed / "deploy/Dockerfile").open("rb"))
    return [(part["instruction"], part["value"]) for part in parser.structure if part["instruction"] != "COMMENT"]


def test_the_image_is_pinned_and_runs_as_a_user_by_number(deployed: Path) -> None:
    parts = instructions(deployed)
    bases = [value.split()[0] for name, value in parts if name == "FROM"]
    assert bases == ["python:3.13-slim-trixie"] * 2
    assert [value for name, value in parts if name == "USER"] == [f"{UID}:{UID}"]  # Kubernetes cannot look up a name
    installs = [value for name, value in parts if name == "RUN" and "--requirement" in value]
    assert all("--constraint constraints.txt" in install for install in installs)
    project = tomllib.loads((deployed / "pyproject.toml").read_text("utf-8"))["project"]
    words = installs[0].split()
    chosen = {words[at + 1] for at, word in enumerate(words) if word == "--extra"}
    assert chosen == {"onnx"} <= set(project["optional-dependencies"])
    installed = {requirement.partition(">=")[0] for requirement in project["dependencies"]}
    assert {"fastapi", "prometheus-client", "uvicorn"} <= installed


def ignored(deployed: Path, path: str) -> bool:
    """By the rules of .dockerignore: the last pattern that matches decides."""
    verdict = False
    for line in (deployed / ".dockerignore").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").removeprefix("**/")
            if fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path.rpartition("/")[2], pattern):
                verdict = not line.startswith("!")
    return verdict


def test_no_secret_gets_into_a_layer(deployed: Path) -> None:
    for path in (".env", ".git/config", ".venv/pyvenv.cfg", "runs/train/config.json", "models/m/config.json"):
        assert ignored(deployed, path), path
    for name, value in instructions(deployed):
        if name in ("ARG", "ENV"):
            assert not any(word in value.upper() for word in ("TOKEN", "KEY", "SECRET", "PASSWORD")), value


def test_what_is_copied_is_sent_to_the_builder(deployed: Path) -> None:
    copies = [value.split() for name, value in instructions(deployed) if name == "COPY" and "--from" not in value]
    sources = [source for words in copies for source in words[:-1]]
    assert sources
    for source in sources:
        found = [deployed / source] if (deployed / source).is_file() else list((deployed / source).rglob("*"))
        assert found, source
        for path in found:
            assert path.is_dir() or not ignored(deployed, path.relative_to(deployed).as_posix()), path


def compose_check(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *paths]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_compose_files_are_of_their_schema(deployed: Path, tmp_path: Path) -> None:
    paths = [deployed / "deploy" / name for name in ("compose.yaml", "compose.gpu.yaml")]
    checked = compose_check(*paths)
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "compose.yaml").write_text(paths[0].read_text("utf-8").replace("read_only:", "readonly:"))
    assert "readonly" in compose_check(tmp_path / "compose.yaml").stdout


def services(deployed: Path, name: str = "compose.yaml") -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((deployed / "deploy" / name).read_text("utf-8"))["services"]
    return services


def test_services_are_confined_and_reachable_from_this_machine_only(deployed: Path) -> None:
    found = services(deployed)
    assert list(found) == ["train", "tensorboard", "serve"]
    for service in found.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp:exec"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert set(services(deployed, "compose.gpu.yaml")) <= set(found)


def commands(deployed: Path) -> Iterator[list[str]]:
    """Every command of `finetune` in the files, by its arguments."""
    for name in ("compose.yaml", "compose.gpu.yaml"):
        yield from (service["command"] for service in services(deployed, name).values() if "command" in service)
    for path in (deployed / "deploy/kubernetes").rglob("*.yaml"):
        document = yaml.safe_load(path.read_text("utf-8"))
        yield from (node["command"] for node in mappings(document) if "command" in node)
    for name in ("skypilot.yaml", "slurm.sh"):
        text = (deployed / "deploy" / name).read_text("utf-8")
        yield next(line for line in text.splitlines() if " finetune train" in line).split()


def test_their_commands_are_those_of_the_command_line(deployed: Path) -> None:
    verbs = set()
    for command in commands(deployed):
        if "finetune" in command:
            verb, *arguments = command[command.index("finetune") + 1 :]
            verbs.add(verb)
            cli.commands[verb].make_context(verb, arguments)
    assert verbs == {"train", "serve"}


def test_every_training_continues_by_the_command_that_started_it(deployed: Path) -> None:
    trainings = [command for command in commands(deployed) if "train" in command]
    assert len(trainings) == 7
    assert all(command[-2:] == ["--resume", "auto"] for command in trainings)


@pytest.fixture(scope="module")
def trained(deployed: Path) -> Path:
    """The project with the run that is served if no other is named."""
    with chdir(deployed):
        assert main(["train", "configs/demo.yaml", "run.name=train", "train.max_steps=1", "train.device=cpu"]) == 0
    return deployed


def with_defaults(value: str) -> str:
    """With the default of each variable, as Compose fills it in."""
    return re.sub(r"\$\{\w+:-([^}]*)}", r"\1", value)


@dataclass(frozen=True)
class Service:
    """How a file starts the server, and how it asks for its state."""

    command: list[str]
    variables: dict[str, str]
    folders: set[str]
    """Those of the volumes, all of them read-only."""
    probes: set[str]
    port: int
    grace: float
    """Seconds from the server's SIGTERM to SIGKILL."""
    healthcheck: list[str] | None = None


KEY = "a key of the operator"


def of_compose(deployed: Path) -> Service:
    serve = services(deployed)["serve"]
    pairs = (variable.partition("=") for variable in serve["environment"])  # without a value: that of the caller
    mounts = [volume.split(":") for volume in serve["volumes"]]
    _, *healthcheck = serve["healthcheck"]["test"]
    _, host_port, port = serve["ports"][0].split(":")
    assert host_port == port
    return Service(
        [with_defaults(word) for word in serve["command"]],
        {name: value if given else {"API_KEY": KEY}[name] for name, given, value in pairs},
        {folder for _, folder, mode in mounts if mode == "ro"},
        set(re.findall(r"127\.0\.0\.1:\d+(/\w+)", healthcheck[-1])),
        int(port),
        float(serve["stop_grace_period"].removesuffix("s")),
        healthcheck,
    )


def of_kubernetes(deployed: Path) -> Service:
    path = deployed / "deploy/kubernetes/base/serve/deployment.yaml"
    pod = yaml.safe_load(path.read_text("utf-8"))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return Service(
        container["command"],
        {variable["name"]: variable.get("value", KEY) for variable in container["env"]},
        {mount["mountPath"] for mount in container["volumeMounts"] if mount.get("readOnly")},
        {container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")},
        container["ports"][0]["containerPort"],
        pod["terminationGracePeriodSeconds"] - container["lifecycle"]["preStop"]["sleep"]["seconds"],
    )


@contextmanager
def started(service: Service, folder: Path, image: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The server in `folder`, with the variables of its image and its own, and its port: one that is free here."""
    assert service.command[-2:] == ["--port", str(service.port)]
    process = subprocess.Popen(
        [*service.command[:-1], "0"],
        cwd=folder,
        env={**image, **service.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        said = process.stdout.readline()
        assert said.startswith("serving runs/train at http://0.0.0.0:"), said + process.stdout.read()
        yield process, int(said.split(":")[2].partition("/")[0])
    finally:
        process.kill()
        process.communicate()


def status(port: int, path: str, body: Any = None, key: str = "") -> int:
    """Of the answer to a GET, or to a POST of `body`."""
    request = Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"} if key else {})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("service_of", [of_compose, of_kubernetes])
def test_the_service_answers_its_probes_and_ends_within_its_grace(
    trained: Path, tmp_path: Path, service_of: Callable[[Path], Service]
) -> None:
    """By the command and the variables of its file, in the variables of the image; it writes to /tmp alone."""
    service = service_of(trained)
    assert service.probes <= {"/ready", "/health"}
    assert service.folders == {"/workspace/models", "/workspace/runs"}
    assert service.grace > Limits().grace + 5
    image = image_variables(trained, tmp_path)
    before = contents(trained)
    with started(service, trained, image) as (process, port):
        assert {path: status(port, path) for path in service.probes} == dict.fromkeys(service.probes, 200)
        rows = {"rows": [{"text": "a fine day"}]}
        assert [status(port, "/v1/predict", rows, key) for key in ("", "another", KEY)] == [401, 401, 200]
        if service.healthcheck:
            healthcheck = [word.replace(f":{service.port}/", f":{port}/") for word in service.healthcheck]
            assert subprocess.run(healthcheck, env=image, check=False).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=Limits().grace) == 0
        if service.healthcheck:
            assert subprocess.run(healthcheck, env=image, stderr=subprocess.DEVNULL, check=False).returncode != 0
    assert contents(trained) == before, "the root file system of the container is read-only"


@pytest.mark.parametrize("service_of", [of_compose, of_kubernetes])
def test_the_service_does_not_start_without_a_key(
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    service_of: Callable[[Path], Service],
) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    with chdir(trained):
        assert main(service_of(trained).command[1:]) == 2
    assert "set an API key in the variable API_KEY" in capsys.readouterr().err


def image_variables(project: Path, temporary: Path) -> dict[str, str]:
    """The variables that the Dockerfile sets, with the environment of the tests as that of the image."""
    program = temporary / "bin/finetune"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m finetune "$@"\n')
    program.chmod(0o755)
    _, value = [part for part in instructions(project) if part[0] == "ENV"][-1]
    image = dict(assignment.split("=", 1) for assignment in value.split())
    assert image["HOME"] == "/tmp"
    here = {
        "PATH": f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(project / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",  # those of the image are compiled
        "HF_HOME": str(project / image["HF_HOME"].removeprefix("/workspace/")),
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
    }
    return image | here


@pytest.mark.slow
def test_the_commands_of_the_dockerfile_install_a_package_that_trains_and_serves(deployed: Path) -> None:
    """In a folder in place of the root of the image, with the sources of packages that this machine has."""
    root = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        environment = build(deployed, root)
        before = contents(root)
        train = ["finetune", "train", "configs/demo.yaml", "run.name=train", "train.max_steps=2", "--resume", "auto"]
        done = subprocess.run(
            train,
            cwd=root / "workspace",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert (root / "workspace/runs/train/best/model.safetensors").is_file()
        with started(of_kubernetes(deployed), root / "workspace", environment) as (_, port):
            assert status(port, "/ready") == 200
        assert contents(root) == before, "the root file system of the container is read-only"
    finally:
        shutil.rmtree(root)


def contents(root: Path) -> dict[str, int]:
    """Every file with the time of its last change, without those in the folders that are mounted."""
    written = [root / "tmp", root / "workspace/runs", root / "workspace/models"]
    return {
        str(path): path.lstat().st_mtime_ns
        for path in root.rglob("*")
        if not path.is_dir() and not any(folder in path.parents for folder in written)
    }


def build(project: Path, root: Path) -> dict[str, str]:
    """Carry out the instructions below `root`; returns the variables of the image."""
    own = Path(sys.executable).parent
    subprocess.run([sys.executable, "-m", "venv", root / "python"], check=True)
    sources, _ = setup_env.uv_sources(setup_env.pip_options(setup_env.ask(own / "pip", "config", "list") or ""), root)
    machine = {"PATH": f"{root / 'python/bin'}:{os.environ['PATH']}", **sources}
    image, folder, stage = dict(machine), root, 0

    def inside(text: str) -> str:
        return re.sub(r"(?<=[ =])(?=/(?:opt|build|workspace|tmp)\b)", str(root), text)

    (root / "tmp").mkdir(mode=0o777)
    (root / "tmp").chmod(0o1777)
    for name, value in instructions(project):
        if name == "FROM":
            image, stage = dict(machine), stage + 1
        elif name == "WORKDIR":
            folder = root / value.lstrip("/")
            folder.mkdir(parents=True)
        elif name == "ENV":
            for assignment in inside(" " + value).split():
                variable, _, content = assignment.partition("=")
                image[variable] = content.replace("$PATH", image["PATH"])
        elif name == "COPY" and "--from" not in value:
            *copied, target = value.split()
            for source in copied:
                if (project / source).is_dir():
                    shutil.copytree(project / source, folder / target)
                else:
                    shutil.copy(project / source, folder / target)
        elif name == "RUN":
            argument = {"UV_TORCH_BACKEND": "cpu"} if stage == 2 else {}  # before: the build that this machine has
            subprocess.run(inside(f" {value}"), shell=True, cwd=folder, env=image | argument, check=True)
    assert stage == 2
    return image


# -------------------------------------------------------------------------------------------------------------- cluster


def mappings(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from mappings(child)


def documents(deployed: Path, overlay: str) -> list[dict[str, Any]]:
    if not shutil.which("kubectl"):
        pytest.skip("kustomize is part of kubectl, which is not installed")
    folder = deployed / "deploy/kubernetes/overlays" / overlay
    rendered = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert rendered.returncode == 0, rendered.stderr
    return list(yaml.safe_load_all(rendered.stdout))


def is_valid(document: dict[str, Any]) -> bool:
    """Whether a document has the keys of its kind, and no other, and values of their types."""
    try:
        if document["kind"] == "TrainJob":
            job = TrainerV1alpha1TrainJob.from_dict(document)
            return job is not None and job.to_dict() == document  # it leaves out what it does not know
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
    except (kubernetes_validate.ValidationError, ValueError):
        return False
    return True


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_valid(deployed: Path, overlay: str) -> None:
    found = documents(deployed, overlay)
    kinds = sorted(document["kind"] for document in found)
    assert kinds == (["PersistentVolumeClaim", "TrainJob"] if "kubeflow" in overlay else KINDS[overlay.split("-")[0]])
    for document in found:
        assert is_valid(document), document


FREE = {"annotations", "labels", "limits", "matchLabels", "requests"}
"""Mappings whose keys are the user's."""


def with_an_unknown_key(node: Any, root: Any) -> Iterator[Any]:
    """Copies of a document, each with one more key in another mapping."""
    if isinstance(node, dict):
        node["unknown"] = "x"
        yield copy.deepcopy(root)
        del node["unknown"]
    children = [(key, node[key]) for key in list(node)] if isinstance(node, dict) else enumerate(node)
    for key, child in children:
        is_free = key in FREE or (key, root["kind"]) == ("selector", "Service")
        if not is_free and isinstance(child, dict | list):
            yield from with_an_unknown_key(child, root)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_unknown_key_is_refused_wherever_it_stands(deployed: Path, overlay: str) -> None:
    for document in documents(deployed, overlay):
        for changed in with_an_unknown_key(document, document):
            assert not is_valid(changed), yaml.safe_dump(changed)


def test_the_progress_of_a_training_is_of_the_schema_of_kubeflow() -> None:
    job = TrainJobStatus(Console(quiet=True), total_steps=8, done=0)
    job.advance(3)
    job.add({"loss": 0.5})
    message = job.message()
    read = TrainerV1alpha1UpdateTrainJobStatusRequest.from_dict(message)
    assert read is not None
    known = read.to_dict()
    time = known["trainerStatus"].pop("lastUpdatedTime").isoformat()
    assert {"trainerStatus": {**known["trainerStatus"], "lastUpdatedTime": time}} == message  # nothing is unknown


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_confined(deployed: Path, overlay: str) -> None:
    pods = [node for document in documents(deployed, overlay) for node in mappings(document) if "containers" in node]
    assert len(pods) == 1
    (pod,) = pods
    assert pod["terminationGracePeriodSeconds"] == (60 if "serve" in overlay else 120)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == UID
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    names = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_references(deployed: Path, overlay: str) -> None:
    for document in documents(deployed, overlay):
        assert document["kind"] != "Secret"
        for node in mappings(document):
            for variable in node.get("env", []):
                assert ("valueFrom" in variable) == (variable["name"] in ("API_KEY", "HF_TOKEN")), variable


@pytest.mark.parametrize("overlay", ["serve-cpu", "serve-gpu"])
def test_the_parts_of_the_service_fit_together(deployed: Path, overlay: str) -> None:
    found = {document["kind"]: document for document in documents(deployed, overlay)}
    pod = found["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    assert found["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert found["Service"]["spec"]["selector"].items() <= labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels
    scaled = found["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    # One pod may always go: otherwise no node could be drained.
    assert scaled["minReplicas"] > found["PodDisruptionBudget"]["spec"]["minAvailable"]
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert container["command"][-1] == str(port["containerPort"]) == "8080"
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert probes == {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/health"}


# ------------------------------------------------------------------------------------------------------ SLURM, SkyPilot


@pytest.mark.skipif(not shutil.which("bash"), reason="a script of bash")
@pytest.mark.parametrize(("seconds_left", "status", "queues"), [(100, 1, True), (9000, 1, False), (100, 0, False)])
def test_the_slurm_script_queues_again_when_its_time_is_over(
    deployed: Path, tmp_path: Path, seconds_left: int, status: int, queues: bool
) -> None:
    programs = {
        "srun": f'echo "$@ cpus=$SRUN_CPUS_PER_TASK store=$TORCH_DISABLE_SHARE_RDZV_TCP_STORE" > calls; exit {status}',
        "scontrol": 'if [ "$1" = show ]; then printf "n1\\nn2\\n"; else echo "$@" >> calls; fi',
        "date": "echo 1000000",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_END_TIME": str(1000000 + seconds_left),
    }
    done = subprocess.run(["bash", deployed / "deploy/slurm.sh"], env=variables, check=False)
    assert done.returncode == status
    start, *after = (tmp_path / "calls").read_text().splitlines()
    assert "--nnodes 2 --nproc-per-node 8" in start
    assert "--rdzv-backend c10d --rdzv-endpoint n1:29500" in start
    assert start.endswith("train configs/train.yaml --resume auto cpus=32 store=1")
    assert after == (["requeue 7"] if queues else [])
    directives = [line for line in (deployed / "deploy/slurm.sh").read_text().splitlines() if "#SBATCH" in line]
    assert "#SBATCH --signal=TERM@120" in directives


def test_the_skypilot_file(deployed: Path) -> None:
    """Its keys, as the schema of SkyPilot 0.14 has them."""
    task = yaml.safe_load((deployed / "deploy/skypilot.yaml").read_text("utf-8"))
    assert set(task) == {"name", "workdir", "num_nodes", "resources", "secrets", "file_mounts", "setup", "run"}
    assert task["resources"]["accelerators"] == "H100:8"


@pytest.mark.skipif(not shutil.which("bash"), reason="a script of bash")
def test_the_run_command_of_skypilot(deployed: Path, tmp_path: Path) -> None:
    """By the variables that SkyPilot sets; the rendezvous is one by which torchrun can restart several nodes."""
    program = tmp_path / ".venv/bin/torchrun"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$@ store=$TORCH_DISABLE_SHARE_RDZV_TCP_STORE"\n')
    program.chmod(0o755)
    variables = {
        "PATH": os.environ["PATH"],
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NUM_GPUS_PER_NODE": "8",
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
        "SKYPILOT_TASK_ID": "task",
    }
    script = yaml.safe_load((deployed / "deploy/skypilot.yaml").read_text("utf-8"))["run"]
    said = subprocess.check_output(["bash", "-euc", script], cwd=tmp_path, env=variables, text=True)
    assert said.split() == [
        *("--nnodes", "2", "--nproc-per-node", "8", "--max-restarts", "3"),
        *("--rdzv-id", "task", "--rdzv-backend", "c10d", "--rdzv-endpoint", "10.0.0.1:29500"),
        *("-m", "finetune", "train", "configs/train.yaml", "run.dir=/runs", "--resume", "auto", "store=1"),
    ]
