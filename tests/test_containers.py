"""The files under docker/: linted, of one version with the code, and with command lines that the parsers take."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from tests.command_lines import require_parsed, require_torchrun
from tests.conftest import ROOT

DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
SHELL = [DOCKER / "entry.sh", DOCKER / "slurm.sbatch", ROOT / "scripts/docker-test", ROOT / "scripts/setup"]
MANIFESTS = sorted((DOCKER / "k8s").glob("*.yaml"))


@pytest.mark.parametrize(
    "words",
    [
        ["hadolint", *DOCKERFILES],
        ["shellcheck", *SHELL],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml"],
        ["kubernetes-validate", "--strict", *MANIFESTS],
    ],
    ids=lambda words: words[0],
)
def test_a_linter_finds_nothing(words):
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *map(str, words[1:])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def arguments(path):
    """The defaults of a Dockerfile's ARG lines."""
    return dict(re.findall(r"^ARG (\w+)=(.*)$", path.read_text(), re.M))


def test_workers_have_the_beam_and_the_python_that_submit():
    bases = arguments(DOCKER / "pipelines.Dockerfile")
    beam, python = re.fullmatch(r"apache/beam_python(.*)_sdk:(.*)", bases["BEAM_IMAGE"]).group(2, 1)
    assert beam == version("apache-beam")
    assert f"apache-beam=={beam}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert f"python{python.replace('.', '')}-" in bases["LAUNCHER_IMAGE"]
    assert f'python_version = "{python}"' in (ROOT / "pyproject.toml").read_text()
    assert {arguments(path)["PYTHON_IMAGE"] for path in DOCKERFILES} == {f"python:{python}-slim-bookworm"}


def let_in(path):
    """Whether .dockerignore lets a path of the checkout into the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return any(path == line[1:] or path.startswith(f"{line[1:]}/") for line in lines if line.startswith("!"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_what_is_copied_is_there_and_let_into_the_build(path):
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.*)$", path.read_text(), re.M)]
    sources = [source for words in copied for source in words]
    assert {"pyproject.toml", "constraints.txt", "schemas", "pipelines", "training", "wikiloom.py"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists() and let_in(source), source


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def jobs():
    return [document for path in MANIFESTS for document in documents(path) if document["kind"] == "Job"]


def test_all_files_name_the_same_images():
    (compose,) = documents(DOCKER / "compose.yaml")
    built = {
        Path(service["build"]["dockerfile"]).stem: service["image"]
        for service in compose["services"].values()
        if "build" in service
    }
    assert built == {"pipelines": "wikiloom-pipelines", "training": "wikiloom-training"}
    containers = [container for job in jobs() for container in job["spec"]["template"]["spec"]["containers"]]
    used = {container["image"] for container in containers}
    assert used | {service["image"] for service in compose["services"].values()} == set(built.values())
    for path in (*DOCKERFILES, ROOT / "scripts/docker-test"):
        named = set(re.findall(r"(?:-t |localhost/)(wikiloom-\w+)", path.read_text()))
        assert named <= {*built.values(), "wikiloom-launcher"}, path


def test_ports_are_for_this_machine_alone():
    (compose,) = documents(DOCKER / "compose.yaml")
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def filled(text):
    """A shell's or compose's text with its variables at their defaults."""
    return re.sub(r"\$?\$\{(\w+)(?::-([^}]*))?\}", lambda match: match[2] or "1", text)


def test_command_lines_of_compose_are_read():
    services = documents(DOCKER / "compose.yaml")[0]["services"]
    lines = filled(services["build"]["command"][0]).splitlines()
    assert [line.split()[1] for line in lines] == ["build", "train-tokenizer", "tokenize"]
    for line in lines:
        require_parsed(line.split()[1:])
    for name in ("train", "train-cpu"):
        require_torchrun(["--no-python", *filled(services[name]["command"]).split()])


def test_command_lines_of_jobs_are_read():
    words = {
        container["name"]: [*container.get("command", []), *container["args"]]
        for job in jobs()
        for container in job["spec"]["template"]["spec"]["containers"]
    }
    require_parsed(words["build"][1:])
    require_torchrun(["--no-python", *words["train"]])


def test_the_command_line_of_slurm_is_read():
    text = (DOCKER / "slurm.sbatch").read_text()
    line = re.search(r"torchrun (--no-python.*?) &$", text.replace("\\\n", " "), re.M)[1]
    given = re.search(r"# sbatch docker/slurm.sbatch (.*)", text)[1]
    require_torchrun(
        re.sub(
            r'"\$[\w{}:-]*"',
            "1",
            line.replace('"$@"', given)
            .replace('"$first:29500"', "h:1")
            .replace('"$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"', "1"),
        ).split()
    )


def test_a_job_has_longer_to_stop_than_torchrun_gives_its_ranks():
    seconds = int(re.search(r"TORCH_ELASTIC_SHUTDOWN_TIMEOUT=(\d+)", (DOCKER / "training.Dockerfile").read_text())[1])
    (train,) = [job for job in jobs() if job["metadata"]["name"] == "wikiloom-train"]
    assert train["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > seconds


def test_a_pod_that_was_stopped_and_saved_is_started_again():
    for job in jobs():
        rules = job["spec"]["podFailurePolicy"]["rules"]
        codes = {code: rule["action"] for rule in rules for code in rule.get("onExitCodes", {}).get("values", [])}
        assert codes[75] == "Ignore"


@pytest.mark.parametrize(("code", "signalled", "ends"), [(0, False, 0), (3, False, 3), (1, True, 75), (0, True, 0)])
def test_the_entry_of_the_image_says_75_where_torchrun_was_stopped(code, signalled, ends, tmp_path):
    """torchrun's stand-in ends with this code, of itself or at a SIGTERM."""
    waits = "echo ready; sleep 60 & wait" if signalled else ""
    script = f"#!/bin/sh\ntrap 'exit {code}' TERM\n{waits}\nexit {code}\n"
    (tmp_path / "torchrun").write_text(script)
    (tmp_path / "torchrun").chmod(0o755)
    words = ["sh", str(DOCKER / "entry.sh"), "wikiloom", "train"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        if signalled:
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            process.stdout.close()
        assert process.wait(timeout=30) == ends
