from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module, metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
import yaml
from airflow.providers_manager import ProvidersManager

from airflow_provider_yandex_vision import __version__
from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from airflow_provider_yandex_vision.hooks.credentials import ENDPOINT, KEY, KEY_PATH, METADATA, OTHER_CONNECTION
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images import http

ROOT = Path(__file__).parents[1]
INFO = get_provider_info()
[CONNECTION_TYPE] = INFO["connection-types"]
CONN_FIELDS = CONNECTION_TYPE["conn-fields"]
AIRFLOW_VERSION = tuple(map(int, airflow.__version__.split(".")[:2]))


def schema(name: str) -> Any:
    return json.loads((files("airflow") / name).read_text())


@pytest.fixture(scope="module")
def providers() -> ProvidersManager:
    return ProvidersManager()  # type: ignore[no-untyped-call]


def test_provider_info_follows_airflows_schema() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


@pytest.mark.skipif(AIRFLOW_VERSION < (3, 2), reason="before 3.2 the hook describes the form")
def test_form_follows_airflows_schema() -> None:
    form = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate(INFO["connection-types"], form)


def test_integrations_follow_the_schema_of_provider_files() -> None:
    integrations = schema("provider.yaml.schema.json")["properties"]["integrations"]
    jsonschema.validate(INFO["integrations"], integrations)


def test_guides_and_logo_exist() -> None:
    (integration,) = INFO["integrations"]
    assert [path for path in integration["how-to-guide"] if not (ROOT / path[1:]).exists()] == []
    assert (ROOT / integration["logo"].partition("/raw/main/")[2]).exists()


def test_registry_lists_what_can_be_imported() -> None:
    registry = yaml.safe_load((ROOT / ".airflow-registry.yaml").read_text())
    (integration,) = INFO["integrations"]
    assert registry["package-name"] == INFO["package-name"]
    assert registry["logo"] == integration["logo"]
    for entry in (*registry["operators"], *registry["other"]):
        module, _, name = entry["module"].rpartition(".")
        assert getattr(import_module(module), name)
    listed = {entry["module"].rpartition(".")[0] for entry in registry["operators"]}
    assert listed == {module for part in INFO["operators"] for module in part["python-modules"]}


def test_addresses_are_those_of_the_metadata() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    for file in (".airflow-registry.yaml", "mkdocs.yml", "CONTRIBUTING.md", "SECURITY.md"):
        named = re.findall(r"https://[\w.-]+\.example(?:/[\w-]+)?", (ROOT / file).read_text())
        assert [address for address in named if address not in declared] == []


def test_hook_describes_the_same_form() -> None:
    behaviour = YandexVisionHook.get_ui_field_behaviour()
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))
    assert {name.replace("_", "-"): value for name, value in behaviour.items()} == CONNECTION_TYPE["ui-field-behaviour"]
    pytest.importorskip("flask_appbuilder")
    widgets = YandexVisionHook.get_connection_form_widgets()
    drawn = {name: (*field.args, field.kwargs["description"]) for name, field in widgets.items()}
    assert drawn == {name: (field["label"], field["description"]) for name, field in CONN_FIELDS.items()}


def test_form_has_every_field_that_the_hook_reads() -> None:
    read = {KEY, KEY_PATH, METADATA, OTHER_CONNECTION, ENDPOINT, "folder_id", "timeout"}
    assert set(CONN_FIELDS) == read


def test_configuration_has_the_option_for_images_on_the_web() -> None:
    assert list(INFO["config"][http.SECTION]["options"]) == [http.OPTION]


def test_form_shows_the_port() -> None:
    """Without one, the Test button of 3.3.1 and 3.3.2 answers "Bad Request"."""
    assert CONNECTION_TYPE["ui-field-behaviour"]["hidden-fields"] == ["login", "schema", "extra"]


def test_only_the_key_is_typed_in_secret() -> None:
    secret = {name for name, field in CONN_FIELDS.items() if field["schema"].get("format") == "password"}
    assert secret == {KEY}
    pytest.importorskip("flask_appbuilder")
    widgets = YandexVisionHook.get_connection_form_widgets()
    assert {name for name, field in widgets.items() if field.field_class.__name__ == "PasswordField"} == {KEY}
    assert {name for name, field in widgets.items() if field.field_class.__name__ == "BooleanField"} == {METADATA}


@pytest.mark.skipif(AIRFLOW_VERSION < (3, 0), reason="a page of Flask before 3.0")
def test_interface_gets_the_same_form() -> None:
    """From the hook before 3.2, from the provider info later."""
    # In a process of its own: Airflow reads providers once, and replaces the classes of the widgets for it.
    code = """
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
[form] = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "yandex_vision"]
print(form.model_dump_json())
"""
    form = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1])
    fields = {name: field["schema"] for name, field in form["extra_fields"].items()}
    titles = {name: field["label"] for name, field in CONN_FIELDS.items()}
    assert {name: field["title"] for name, field in fields.items()} == titles
    assert fields[KEY]["format"] == "password"
    assert fields[METADATA]["type"] == ["boolean", "null"]
    standard = form["standard_fields"]
    assert standard["login"]["hidden"]
    assert not standard["port"]["hidden"]
    assert standard["port"]["placeholder"].startswith("443")


def test_hook_has_the_same_names() -> None:
    assert YandexVisionHook.conn_type == CONNECTION_TYPE["connection-type"]
    assert YandexVisionHook.hook_name == CONNECTION_TYPE["hook-name"]


def test_connection_type_survives_a_uri() -> None:
    assert "-" not in CONNECTION_TYPE["connection-type"]


def test_every_module_can_be_imported() -> None:
    modules = [name for part in ("operators", "hooks") for entry in INFO[part] for name in entry["python-modules"]]
    for name in modules:
        import_module(name)
    module, _, cls = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), cls) is YandexVisionHook


def test_every_link_of_an_operator_is_declared() -> None:
    """Or a DAG that was stored loses it."""
    modules = [import_module(name) for entry in INFO["operators"] for name in entry["python-modules"]]
    operators = [cls for module in modules for cls in vars(module).values() if hasattr(cls, "operator_extra_links")]
    links = {type(link) for cls in operators for link in getattr(cls, "operator_extra_links", ()) or ()}
    assert {f"{link.__module__}.{link.__name__}" for link in links} == set(INFO["extra-links"])


def test_every_part_belongs_to_a_listed_integration() -> None:
    listed = {entry["integration-name"] for entry in INFO["integrations"]}
    assert {entry["integration-name"] for part in ("operators", "hooks") for entry in INFO[part]} == listed


def test_name_and_version_are_those_of_the_distribution(providers: ProvidersManager) -> None:
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", INFO["package-name"])
    assert metadata.version(INFO["package-name"]) == __version__
    assert providers.providers[INFO["package-name"]].version == __version__


def test_airflow_lists_the_hook(providers: ProvidersManager) -> None:
    hooks: Any
    if AIRFLOW_VERSION < (3, 2):
        hooks = providers.hooks
    else:
        hooks = import_module("airflow.sdk.providers_manager_runtime").ProvidersManagerTaskRuntime().hooks
    hook = hooks["yandex_vision"]
    assert hook.hook_class_name == CONNECTION_TYPE["hook-class-name"]
    assert hook.connection_id_attribute_name == "yandex_vision_conn_id"
    assert (hook.hook_name, hook.package_name) == ("Yandex Vision", INFO["package-name"])


def test_airflow_draws_the_form(providers: ProvidersManager) -> None:
    drawn = {widget.field_name for name, widget in providers.connection_form_widgets.items() if "yandex_vision" in name}
    assert drawn == set(CONN_FIELDS)
    behaviour: Any = providers.field_behaviours["yandex_vision"]
    assert behaviour["relabeling"] == {"password": "API key", "host": "Base URL"}
    assert "password" not in behaviour["hidden_fields" if "hidden_fields" in behaviour else "hidden-fields"]


def test_discovery_is_cheap() -> None:
    """Airflow runs it in every process, so it imports nothing heavy."""
    code = (
        "from airflow_provider_yandex_vision.get_provider_info import get_provider_info; get_provider_info(); "
        "import sys; heavy = ('airflow', 'requests', 'jwt', 'cryptography', 'pybase64'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
