"""What was ever written stays readable, and the published schemas are those of the models.

`golden/<type>.v1.json` is an event as a producer sent it; `golden/decoded/` what it meant
to us then. Neither is ever changed: a sample that no longer reads is a broken producer.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

from shared.events import schemas
from shared.events.codec import decode, encode, from_structured, structured
from shared.events.registry import KINDS, MODELS, TOPIC_OF
from shared.events.unknown import unknown_fields
from shared.message import Message
from shared.topics import topics

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = sorted(path.name for path in GOLDEN.glob("*.v1.json"))


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def holds(new: Any, old: Any) -> bool:
    """Whether `new` says all that `old` said; a new optional field may say more."""
    if isinstance(old, dict):
        return new.keys() >= old.keys() and all(holds(new[name], old[name]) for name in old)
    if isinstance(old, list):
        return len(new) == len(old) and all(map(holds, new, old))
    return bool(new == old)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_stored_sample_still_means_what_it_meant(name: str) -> None:
    event = from_structured(load(GOLDEN / name))

    decoded = {
        field: getattr(event, field)
        for field in ("topic", "key", "id", "source", "type", "backfill", "traceparent")
    }
    decoded |= {"time": event.time.isoformat(), "data": event.data.model_dump(mode="json")}
    assert holds(decoded, load(GOLDEN / "decoded" / name))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_stored_sample_reads_the_same_in_both_modes_and_is_written_back_whole(name: str) -> None:
    document = load(GOLDEN / name)
    event = from_structured(document)
    value, headers = encode(event)
    stamp = int(event.time.timestamp() * 1000)
    record = Message(event.topic, -1, -1, stamp, event.key.encode(), value, tuple(headers))

    assert decode(record) == event
    assert structured(event) == document


@pytest.mark.parametrize("name", SAMPLES)
def test_a_stored_sample_fits_the_published_schema_and_uses_no_unknown_field(name: str) -> None:
    document = load(GOLDEN / name)
    schema = load(schemas.SCHEMAS / name)

    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(document["data"])
    assert unknown_fields(MODELS[document["type"]], document["data"]) == []


def test_every_type_has_a_sample_with_its_meaning() -> None:
    expected = sorted(f"{name}.v1.json" for name in MODELS)

    assert expected == SAMPLES
    assert expected == sorted(path.name for path in (GOLDEN / "decoded").iterdir())
    assert expected == sorted(path.name for path in schemas.BASELINE.iterdir())


def test_generated_files_are_as_the_models_are() -> None:
    assert schemas.stale() == [], "run: python -m shared.events schemas --write"


def test_no_model_refuses_or_loses_what_its_stored_schema_allows() -> None:
    assert schemas.broken() == []


def test_a_schema_is_valid_and_every_field_of_a_model_is_bounded() -> None:
    for name in MODELS:
        schema = schemas.schema(name)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert unbounded(schema, name) == []


def unbounded(schema: Any, path: str) -> list[str]:
    """Strings, numbers, lists and dictionaries without an upper bound."""
    if isinstance(schema, list):
        return [found for item in schema for found in unbounded(item, path)]
    if not isinstance(schema, dict):
        return []
    closed = {"enum", "const", "format", "pattern"} & schema.keys()
    need = {
        "string": "maxLength",
        "integer": "maximum",
        "number": "maximum",
        "array": "maxItems",
        "object": "maxProperties",
    }.get(str(schema.get("type")))
    whole = "properties" in schema
    found = [path] if need and need not in schema and not closed and not whole else []
    for name, item in schema.items():
        found += unbounded(item, f"{path}.{name}")
    return found


def test_asyncapi_names_every_topic_type_and_file() -> None:
    document = yaml.safe_load(schemas.ASYNCAPI.read_text())

    channels = {channel["address"]: channel for channel in document["channels"].values()}
    assert channels.keys() == {topic.name for topic in topics()} == KINDS.keys()
    for topic, kinds in KINDS.items():
        assert len(channels[topic]["messages"]) == len(kinds)
    for reference in references(document):
        if reference.startswith("#/"):
            found = document
            for part in reference[2:].split("/"):
                found = found[part]
        else:
            assert (schemas.ASYNCAPI.parent / reference).is_file()
    assert len(document["operations"]) == len(KINDS)
    assert {TOPIC_OF[message["name"]] for message in document["components"]["messages"].values()}


def references(document: Any) -> list[str]:
    if isinstance(document, list):
        return [found for item in document for found in references(item)]
    if not isinstance(document, dict):
        return []
    own = [document["$ref"]] if "$ref" in document else []
    return own + [found for item in document.values() for found in references(item)]
