from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.secrets import API_KEY

ROOT = Path(__file__).parent.parent

CASES = f"""
import logging, os, sys
log = logging.getLogger("some.library")
quiet = logging.getLogger("quiet")
quiet.propagate = False
KEY = {API_KEY!r}

def test_leaks_in_a_message(): log.warning("key=" + KEY)
def test_leaks_in_an_argument(): log.warning("%s", KEY)
def test_leaks_in_an_argument_not_shown(): log.warning("%.2s", KEY)
def test_leaks_at_debug_level(): log.debug(KEY)
def test_leaks_where_no_handler_listens(): quiet.warning(KEY)
def test_leaks_on_stdout(): print(KEY)
def test_leaks_on_stdout_of_a_child(): os.system("echo " + KEY)
def test_leaks_on_stderr(): sys.stderr.write(KEY)
def test_leaks_though_it_looks_itself(capsys): print(KEY)

def test_leaks_in_a_cause():
    try:
        try:
            raise ValueError(KEY)
        except ValueError as error:
            raise RuntimeError("hidden below") from error
    except RuntimeError:
        log.exception("trouble")

def test_is_innocent(capsys, caplog):
    log.warning("all is well")
    log.info("not asked for")
    print("fine")
    assert caplog.messages == ["all is well"]
    assert capsys.readouterr().out == "fine\\n"
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
    assert seen == {"AIRFLOW_HOME": seen["AIRFLOW_HOME"], "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
