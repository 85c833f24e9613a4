from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent

BAD_TESTS = """
import base64, json, logging, os, socket, sys, threading
from contextlib import suppress
from pathlib import Path
import pytest
from airflow_provider_yandex_vision.compat import BaseHook
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.operators.run import CopySearchRun
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
import jwt
from tests.support.secrets import API_KEY as KEY
from tests.support.secrets import IAM_TOKEN, authorized_key, private_key
log = logging.getLogger("some.library")
quiet = logging.getLogger("quiet")
quiet.propagate = False
SUMMARY = {"images": 1, "found": 1, "none": 0, "rejected": 0, "failed": 0}

def test_leaks_in_a_message(): log.warning("key=" + KEY)
def test_leaks_in_an_argument(): log.warning("%s", KEY)
def test_leaks_in_an_argument_not_shown(): log.warning("%.2s", KEY)
def test_leaks_at_debug_level(): log.debug(KEY)
def test_leaks_at_debug_level_of_a_hook(): BaseHook().log.debug("key=%s", KEY)
def test_leaks_without_a_handler(): quiet.warning(KEY)
def test_leaks_on_stdout(): print(KEY)
def test_leaks_on_stdout_of_a_child(): os.system("echo " + KEY)
def test_leaks_on_stderr(): sys.stderr.write(KEY)
def test_leaks_with_its_own_capture(capsys): print(KEY)

def test_leaks_quoted(): print(KEY.replace("-", "%2D"))
def test_leaks_in_base64(): print(base64.b64encode(f"{KEY}:".encode()))
def test_leaks_in_base64_after_a_byte(): print(base64.b64encode(f":{KEY}:".encode()))
def test_leaks_in_base64_after_two_bytes(): print(base64.b64encode(f"::{KEY}:".encode()))

def test_leaks_a_token(): log.info("Bearer %s-17", IAM_TOKEN)
def test_leaks_a_private_key(): log.debug(json.loads(authorized_key())["private_key"])
def test_leaks_a_key_file(): print(authorized_key())
def test_leaks_a_jwt(): print(jwt.encode({"iss": "someone"}, private_key(), algorithm="PS256"))

def test_leaks_in_a_logged_cause():
    try:
        try:
            raise ValueError(KEY)
        except ValueError as error:
            raise RuntimeError("hidden below") from error
    except RuntimeError:
        log.exception("failed")

class Mute(Exception):
    def __str__(self):
        return "nothing to see"

def test_leaks_in_an_exception():
    with pytest.raises(ValueError):
        raise ValueError("key=" + KEY)

def test_leaks_in_a_repr():
    with pytest.raises(Mute):
        raise Mute(KEY)

def test_leaks_in_a_note():
    error = ValueError("innocent")
    error.__notes__ = [KEY]
    with pytest.raises(ValueError):
        raise error

def test_leaks_in_a_cause():
    with pytest.raises(ValueError):
        raise ValueError("innocent") from RuntimeError(KEY)

def test_leaks_in_a_context_not_shown():
    with pytest.raises(ValueError):
        try:
            raise RuntimeError(KEY)
        except RuntimeError:
            raise ValueError("innocent") from None

def test_leaks_in_a_suppressed_error_of_the_package():
    with suppress(ConfigurationError):
        raise ConfigurationError(KEY)

def task():
    return YandexVisionCopySearchOperator(task_id="search", images="{{ images }}")

def run(monkeypatch, operator, context, summary=SUMMARY, during=lambda: None):
    monkeypatch.setattr(CopySearchRun, "run", lambda run: during() or summary)
    return operator.execute(context)

def test_leaks_in_xcom(monkeypatch): run(monkeypatch, task(), {}, {**SUMMARY, "results": [{"uri": KEY}]})

def test_leaks_in_an_asset_event(monkeypatch):
    context = {}
    run(monkeypatch, task(), context, during=lambda: context.update(extra=KEY))

def test_leaks_in_a_template_field(monkeypatch):
    operator = task()
    run(monkeypatch, operator, {}, during=lambda: setattr(operator, "table", KEY))

def test_leaks_in_a_rendered_template(): task().render_template_fields({"images": KEY})

def test_leaks_in_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"\\xff" * 100_000 + KEY.encode())

def reach(action):
    with suppress(OSError):
        action()

def connect(address, family=socket.AF_INET):
    with socket.socket(family) as connection:
        connection.connect(address)

def test_reaches_an_address(): reach(lambda: socket.create_connection(("192.0.2.1", 80), timeout=1))
def test_reaches_an_ipv6_address(): reach(lambda: connect(("2001:db8::1", 80), socket.AF_INET6))
def test_reaches_without_an_exception(): reach(lambda: socket.socket().connect_ex(("192.0.2.1", 80)))
def test_reaches_with_a_datagram():
    with socket.socket(type=socket.SOCK_DGRAM) as connection:
        reach(lambda: connection.sendto(b"", ("192.0.2.1", 53)))
def test_reaches_a_name_server(): reach(lambda: socket.getaddrinfo("host.example", 80))
def test_reaches_a_name_server_the_old_way(): reach(lambda: socket.gethostbyname("host.example"))
def test_reaches_a_name_server_backwards(): reach(lambda: socket.gethostbyaddr("192.0.2.1"))
def test_reaches_in_a_thread():
    thread = threading.Thread(target=reach, args=[lambda: connect(("192.0.2.1", 80))])
    thread.start()
    thread.join()

def test_is_innocent(capsys, caplog, tmp_path, monkeypatch):
    print("fine", jwt.encode({"iss": "airflow"}, "of Airflow itself, 32 bytes or more", algorithm="HS256"))
    assert capsys.readouterr().out.startswith("fine")
    log.warning("all is well")
    log.info("not asked for")
    assert caplog.messages == ["all is well"]
    with pytest.raises(ValueError, match="fine"):
        raise ValueError("fine") from ConfigurationError("fine", "too")
    (tmp_path / "file").write_text("fine")
    assert run(monkeypatch, task(), {}) == SUMMARY

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", socket.gethostname()])
def test_is_innocent_on_this_machine(host):
    socket.getaddrinfo(host, 80)
    with suppress(ConnectionRefusedError), socket.create_connection(("localhost", 1), timeout=1): pass

def test_is_innocent_on_a_unix_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))

def test_leaks_in_a_log_file():  # the last test, since the file stays
    logs = Path(os.environ["AIRFLOW_HOME"], "logs")
    logs.mkdir(exist_ok=True)
    (logs / "task.log").write_text(KEY)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names of the bad tests by outcome. A test that passes but fails afterwards is in PASSED and in ERROR."""
    file = tmp_path_factory.mktemp("bad") / "test_bad.py"
    file.write_text(BAD_TESTS)
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "/dev/null"]
    command = [sys.executable, "-m", "pytest", *options, "-rA", "--tb=no", "-q", str(file)]
    # As a fresh run: with our PYTHONPATH the guard would be there twice, and the first copy hides from the second.
    environment = {**os.environ, "PYTHONPATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout
    names: dict[str, set[str]] = {"PASSED": set(), "FAILED": set(), "ERROR": set()}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", output, re.MULTILINE):
        names[outcome].add(name)
    return names


def bad_tests(prefix: str) -> set[str]:
    return set(re.findall(rf"def (test_{prefix}\w*)", BAD_TESTS))


def test_every_test_that_shows_the_key_fails(outcomes: dict[str, set[str]]) -> None:
    assert outcomes["ERROR"] >= bad_tests("leaks")


def test_every_test_that_reaches_for_the_network_fails(outcomes: dict[str, set[str]]) -> None:
    assert outcomes["ERROR"] >= bad_tests("reaches")


def test_other_tests_pass(outcomes: dict[str, set[str]]) -> None:
    assert outcomes["FAILED"] == set()
    assert outcomes["ERROR"] == bad_tests("leaks") | bad_tests("reaches")
    assert outcomes["PASSED"] >= bad_tests("is_innocent")


def test_python_programs_of_a_test_cannot_reach_the_network() -> None:
    program = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "NetworkError" in done.stderr


def test_airflow_starts_with_a_home_of_the_tests() -> None:
    """Another process imports ``conftest`` as pytest does, with a user's settings in its environment."""
    code = (
        "import json, os, tests.conftest; print(json.dumps({n: os.environ[n] for n in os.environ if 'AIRFLOW' in n}))"
    )
    users = {"AIRFLOW_HOME": "/home/user", "AIRFLOW_CONN_MINE": "{}", "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
    seen = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=users, text=True))
    Path(seen["AIRFLOW_HOME"]).rmdir()
    assert seen == {
        "AIRFLOW_HOME": seen["AIRFLOW_HOME"],
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.task=DEBUG",
    }
