"""Whether a schema still reads what was written under an older one.

A new optional field is a change; anything else is a new version of the type. Kept apart
from how schemas are made, because the rule must not bend with the maker.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

LOWER_BOUNDS = ("minLength", "minimum", "minItems", "minProperties", "exclusiveMinimum")
UPPER_BOUNDS = ("maxLength", "maximum", "maxItems", "maxProperties", "exclusiveMaximum")


def breaks(old: Schema, new: Schema) -> list[str]:
    """Each change that would refuse or lose what the old schema allowed; empty: compatible."""
    return list(_breaks(old, new, (old, new), ""))


def _breaks(old: Schema, new: Schema, roots: tuple[Schema, Schema], path: str) -> Iterator[str]:
    old, new = _resolved(old, roots[0]), _resolved(new, roots[1])
    if "anyOf" in old or "anyOf" in new:
        yield from _union_breaks(old, new, roots, path)
        return
    place = path.rstrip(".") or "(the whole)"
    if not _types(old) <= _types(new):
        yield f"{place}: type was {_named(old)}, is {_named(new)}"
        return
    yield from _bound_breaks(old, new, place)
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name not in after:
            yield f"{path}{name}: removed"
        else:
            yield from _breaks(before[name], after[name], roots, f"{path}{name}.")
    for name in sorted({*new.get("required", ())} - {*old.get("required", ())}):
        yield f"{path}{name}: now required"
    for part in ("items", "additionalProperties"):
        if isinstance(old.get(part), dict) and isinstance(new.get(part), dict):
            yield from _breaks(old[part], new[part], roots, f"{path}*.")


def _union_breaks(
    old: Schema, new: Schema, roots: tuple[Schema, Schema], path: str
) -> Iterator[str]:
    """Each former choice must still be one."""
    choices = new.get("anyOf", [new])
    for former in old.get("anyOf", [old]):
        if all(list(_breaks(former, choice, roots, path)) for choice in choices):
            name = _named(_resolved(former, roots[0]))
            yield f"{path.rstrip('.') or '(the whole)'}: {name} is no longer allowed as it was"


def _bound_breaks(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for name in LOWER_BOUNDS:
        if new.get(name, float("-inf")) > old.get(name, float("-inf")):
            yield f"{place}: {name} was {old.get(name, 'none')}, is {new[name]}"
    for name in UPPER_BOUNDS:
        if new.get(name, float("inf")) < old.get(name, float("inf")):
            yield f"{place}: {name} was {old.get(name, 'none')}, is {new[name]}"
    for name in ("pattern", "format"):
        if name in new and new[name] != old.get(name):
            yield f"{place}: {name} was {old.get(name, 'none')}, is {new[name]}"
    if lost := _values(old) - _values(new) if _values(new) else set():
        yield f"{place}: no longer allows {', '.join(sorted(lost))}"
    if _values(new) and not _values(old):
        yield f"{place}: is now a closed set"


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _types(schema: Schema) -> set[str]:
    """An integer is a number too."""
    name = schema.get("type", "any")
    return {name, "integer"} if name == "number" else {name}


def _named(schema: Schema) -> str:
    kind = schema.get("type", "any")
    return str(schema.get("title", kind) if kind == "object" else kind)


def _values(schema: Schema) -> set[str]:
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return {str(value) for value in values}
