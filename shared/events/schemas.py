"""JSON Schemas and docs/asyncapi.yaml, made from the models, so they cannot drift from them.

`python -m shared.events schemas --write` writes them, and refuses a change of a model that
would break those who publish or read its events: that wants a new version of the type.
"""

import json
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic.json_schema import GenerateJsonSchema

from shared.events import compat
from shared.events.registry import KEY_NAMES, KINDS, MODELS, MODULES
from shared.topics import topics

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
ASYNCAPI = ROOT / "docs" / "asyncapi.yaml"
BASELINE = ROOT / "shared" / "tests" / "golden" / "schemas"

_HEADERS = {
    "ce_specversion": ("1.0", "CloudEvents version; any 1.x is read"),
    "ce_id": ("e-1", "names the event for ever, together with ce_source; at most 200 characters"),
    "ce_source": ("shop", "who says so; at most 200 characters"),
    "ce_type": ("order.placed", "what happened"),
    "ce_time": ("2026-01-31T08:00:00Z", "when it became true: RFC 3339 with an offset"),
}
_OPTIONAL_HEADERS = {
    "content-type": ("application/json", "or application/cloudevents+json: structured mode"),
    "ce_dataschema": ("urn:regulars:order.placed:1", "absent: version 1"),
    "ce_backfill": ("true", "history: state is folded, and nothing leaves for a person"),
    "traceparent": ("00-...-01", "W3C trace context"),
}


class _Untitled(GenerateJsonSchema):
    """Without a title on each field that only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """YAML with texts of several lines as they were written."""


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a type's data."""
    made = MODELS[name].model_json_schema(schema_generator=_Untitled)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:regulars:{name}:1",
    }
    return head | made | {"title": name}


def files() -> dict[Path, str]:
    """Every generated file and its text."""
    made = {
        SCHEMAS / f"{name}.v1.json": json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"
        for name in MODELS
    }
    note = "# Made from the models: python -m shared.events schemas --write\n"
    text = yaml.dump(asyncapi(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return made | {ASYNCAPI: note + text}


def stale() -> list[Path]:
    """Generated files that the models have left behind, and files of types that are gone."""
    made = files()
    old = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    return old + [path for path in SCHEMAS.glob("*.json") if path not in made]


def broken() -> list[str]:
    """What the models would refuse or lose of that which the stored baseline allows."""
    found = []
    for path in sorted(BASELINE.glob("*.v1.json")):
        name = path.name.removesuffix(".v1.json")
        if name not in MODELS:
            found.append(f"{name}: removed")
            continue
        old = json.loads(path.read_text())
        found += [f"{name}: {text}" for text in compat.breaks(old, schema(name))]
    return found


def write() -> int:
    """Write every generated file, and accept it as the baseline; how many changed."""
    changed = stale()
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.parent == SCHEMAS:
            BASELINE.mkdir(parents=True, exist_ok=True)
            (BASELINE / path.name).write_text(text)
    return len(changed)


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Regulars",
            "version": "1",
            "description": "The events that the suite reads (shop.*) and writes (crm.*). "
            "How to publish them: docs/events.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_anchor(topic.name): _channel(topic.name) for topic in topics()},
        "operations": {
            _operation(topic.name): {
                "action": "receive" if topic.name.startswith("shop.") else "send",
                "channel": {"$ref": f"#/channels/{_anchor(topic.name)}"},
            }
            for topic in topics()
        },
        "components": {
            "messages": {_anchor(name): _message(name) for name in sorted(MODELS)},
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
        },
    }


def _channel(topic: str) -> dict[str, Any]:
    wanted = next(item for item in topics() if item.name == topic)
    module = next(module for module in MODULES if topic == module.TOPIC)
    return {
        "address": topic,
        "description": (module.__doc__ or "").strip(),
        "messages": {
            _anchor(name): {"$ref": f"#/components/messages/{_anchor(name)}"}
            for name in KINDS[topic]
        },
        "bindings": {
            "kafka": {
                "partitions": wanted.partitions,
                "topicConfiguration": _topic_configuration(wanted.configs),
                "bindingVersion": "0.5.0",
            }
        },
    }


def _topic_configuration(configs: dict[str, str]) -> dict[str, Any]:
    """Those of our settings that the binding has a name for."""
    known: dict[str, Any] = {"cleanup.policy": [configs["cleanup.policy"]]}
    for name in ("retention.ms", "delete.retention.ms", "max.message.bytes"):
        if name in configs:
            known[name] = int(configs[name])
    return known


def _message(name: str) -> dict[str, Any]:
    model = MODELS[name]
    topic = next(topic for topic, kinds in KINDS.items() if name in kinds)
    key = KEY_NAMES.get(topic, "customer_id")
    return {
        "name": name,
        "title": name,
        "summary": (model.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"../schemas/{name}.v1.json"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"equals the data's {key}"},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _headers() -> dict[str, Any]:
    """CloudEvents attributes as Kafka headers, in binary mode."""
    return {
        "type": "object",
        "required": sorted(_HEADERS),
        "properties": {
            name: {"type": "string", "description": text, "examples": [example]}
            for name, (example, text) in (_HEADERS | _OPTIONAL_HEADERS).items()
        },
    }


def _anchor(name: str) -> str:
    return name.replace(".", "_")


def _operation(topic: str) -> str:
    verb = "receive" if topic.startswith("shop.") else "send"
    return f"{verb}_{_anchor(topic)}"
