"""docs/simulator.md against the models it describes: every key, with its default, and no other."""

import re
from datetime import timedelta
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tests.harness.handbook import page, table_rows
from watchdog.config.load import load
from watchdog.simulator.scenario import Duration, FaultKind, Part, Scenario

PAGE = page("simulator.md")
SECTIONS = dict(re.findall(r"(?ms)^### (.+?)\n\n(.+?)(?=^##|\Z)", PAGE))
MODELS = {model.__name__: model for model in Part.__subclasses__()}
EXAMPLES = re.findall(r"(?ms)^```yaml\n(.*?)^```", PAGE)


def rows(section):
    return {names[0]: rest for names, *rest in table_rows(SECTIONS[section])}


@pytest.mark.parametrize("name", MODELS)
def test_every_key_of_a_part_is_documented_and_no_other(name):
    assert rows(name).keys() == MODELS[name].model_fields.keys()


def as_written(default):
    """A default as YAML has it; none where the model makes it, or there is none."""
    if isinstance(default, frozenset):
        return sorted(default)
    if isinstance(default, tuple):
        return None if any(isinstance(item, BaseModel) for item in default) else list(default)
    return None if default is PydanticUndefined or isinstance(default, BaseModel) else default


@pytest.mark.parametrize("name", MODELS)
def test_every_default_is_the_documented_one(name):
    for key, (told, meaning) in rows(name).items():
        default = MODELS[name].model_fields[key].default
        given = yaml.safe_load(told.strip("`"))
        if isinstance(default, timedelta):
            given = duration(given)
        assert (sorted(given) if isinstance(default, frozenset) else given) == as_written(default), key
        assert meaning, key


def duration(text):
    class Holder(BaseModel):
        value: Duration

    return Holder(value=text).value


def test_every_kind_of_fault_is_documented_and_no_other():
    assert set(rows("Kinds of fault")) == set(get_args(FaultKind))


def test_what_may_be_chosen_is_named_beside_each_key():
    for name, model in MODELS.items():
        for key, field in model.model_fields.items():
            choices = get_args(field.annotation)
            if choices and all(isinstance(choice, str) for choice in choices) and key != "kind":
                told, meaning = rows(name)[key]
                assert all(choice in told + meaning for choice in choices), key


def test_the_example_is_a_scenario():
    example = Scenario.model_validate(yaml.safe_load(EXAMPLES[1]))
    assert [zone.name for zone in example.zones] == [
        "works.example",
        "second-try.example",
        "renewal.example",
        "forbidden.example",
    ]
    assert len(example.faults) == 2


def test_the_configuration_for_it_is_taken(tmp_path):
    (tmp_path / "config.yaml").write_text(EXAMPLES[0])
    config = load(tmp_path / "config.yaml", {})
    assert config.accounts["main"].discover is not None
