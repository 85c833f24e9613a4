from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

CASES = """
import base64, logging, os, sys
from contextlib import suppress
from pathlib import Path
import pytest
from airflow.providers.common.compat.sdk import BaseHook
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.operators.run import CopySearchRun
from airflow_provider_yandex_vision.vision import ConfigurationError
from tests.support.secrets import API_KEY as KEY
log = logging.getLogger("some.library")
quiet = logging.getLogger("quiet")
quiet.propagate = False

def test_leaks_in_a_message(): log.warning("key=" + KEY)
def test_leaks_in_an_argument(): log.warning("%s", KEY)
def test_leaks_in_an_argument_not_shown(): log.warning("%.2s", KEY)
def test_leaks_at_debug_level(): log.debug(KEY)
def test_leaks_at_debug_level_of_a_hook(): BaseHook().log.debug("key=%s", KEY)
def test_leaks_where_no_handler_listens(): quiet.warning(KEY)
def test_leaks_on_stdout(): print(KEY)
def test_leaks_on_stdout_of_a_child(): os.system("echo " + KEY)
def test_leaks_on_stderr(): sys.stderr.write(KEY)
def test_leaks_though_it_looks_itself(capsys): print(KEY)

def test_leaks_quoted(): print(KEY.replace("-", "%2D"))
def test_leaks_in_base64(): print(base64.b64encode(f"{KEY}:".encode()))
def test_leaks_in_base64_after_a_byte(): print(base64.b64encode(f":{KEY}:".encode()))
def test_leaks_in_base64_after_two_bytes(): print(base64.b64encode(f"::{KEY}:".encode()))

def test_leaks_in_a_logged_cause():
    try:
        try:
            raise ValueError(KEY)
        except ValueError as error:
            raise RuntimeError("hidden below") from error
    except RuntimeError:
        log.exception("trouble")

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

def test_leaks_in_an_error_of_ours_that_nobody_minds():
    with suppress(ConfigurationError):
        raise ConfigurationError(KEY)

def task():
    return YandexVisionCopySearchOperator(task_id="search", images="{{ images }}")

def test_leaks_in_xcom(monkeypatch):
    monkeypatch.setattr(CopySearchRun, "run", lambda job: {"results": [{"uri": KEY}]})
    task().execute({})

def test_leaks_in_an_asset_event(monkeypatch):
    monkeypatch.setattr(CopySearchRun, "run", lambda job: job._context.update(extra=KEY))
    task().execute({})

def test_leaks_in_a_template_field(monkeypatch):
    monkeypatch.setattr(CopySearchRun, "run", lambda job: setattr(job._task, "table", KEY))
    task().execute({})

def test_leaks_in_a_rendered_template(): task().render_template_fields({"images": KEY})

def test_leaks_in_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"\\xff" * 100_000 + KEY.encode())

def test_is_innocent(capsys, caplog, tmp_path, monkeypatch):
    print("fine")
    assert capsys.readouterr().out == "fine\\n"
    log.warning("all is well")
    log.info("not asked for")
    assert caplog.messages == ["all is well"]
    with pytest.raises(ValueError, match="fine"):
        raise ValueError("fine") from ConfigurationError("fine", "too")
    (tmp_path / "file").write_text("fine")
    monkeypatch.setattr(CopySearchRun, "run", lambda job: {"images": 1})
    assert task().execute({}) == {"images": 1}

def test_leaks_in_a_log_file():
    logs = Path(os.environ["AIRFLOW_HOME"], "logs")
    logs.mkdir(exist_ok=True)
    (logs / "task.log").write_text(KEY)
"""


def test_every_test_that_shows_the_key_fails(tmp_path: Path) -> None:
    file = tmp_path / "test_cases.py"
    file.write_text(CASES)
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "/dev/null", "-rA", "--tb=no", "-q"]
    command = [sys.executable, "-m", "pytest", *options, str(file)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    leaking = set(re.findall(r"def (test_leaks\w+)", CASES))
    assert set(re.findall(r"^ERROR \S+::(\w+)", output, re.MULTILINE)) == leaking, output
    assert "test_is_innocent" in re.findall(r"^PASSED \S+::(\w+)", output, re.MULTILINE)


def test_airflow_starts_from_a_home_of_its_own() -> None:
    """Another process imports ``conftest`` the way pytest does, with a user's settings around it."""
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
