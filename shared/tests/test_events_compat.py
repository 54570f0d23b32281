"""Which changes of a model are allowed, and which want a new version of the type."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, create_model

from shared.events.compat import breaks


class Inner(BaseModel):
    a: int
    b: str = ""


OLD: dict[str, Any] = {
    "id": (str, ...),
    "kind": (Literal["x", "y"], "x"),
    "text": (Annotated[str, Field(max_length=10)], ""),
    "count": (Annotated[int, Field(ge=0)], 0),
    "maybe": (int | None, None),
    "inner": (Inner | None, None),
    "items": (Annotated[tuple[Inner, ...], Field(max_length=5)], ()),
}


def schema(fields: dict[str, Any]) -> dict[str, Any]:
    made: type[BaseModel] = create_model("Model", **fields)
    return made.model_json_schema()


def change(**fields: Any) -> list[str]:
    new = {name: field for name, field in (OLD | fields).items() if field}
    return breaks(schema(OLD), schema(new))


class InnerWithMore(BaseModel):
    a: int
    b: str = ""
    c: float = 0.5


class InnerWithLess(BaseModel):
    a: int


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"new": (str, "")},
        {"kind": (Literal["x", "y", "z"], "x")},
        {"text": (Annotated[str, Field(max_length=20)], "")},
        {"text": (str | None, "")},
        {"count": (Annotated[float, Field(ge=-1)], 0)},
        {"id": (str, "")},
        {"inner": (InnerWithMore | None, None)},
        {"items": (tuple[Inner, ...], ())},
    ],
)
def test_a_wider_model_is_compatible(fields: dict[str, Any]) -> None:
    assert change(**fields) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"text": None}, "text: removed"),
        ({"new": (str, ...)}, "new: now required"),
        ({"text": (str, ...)}, "text: now required"),
        ({"kind": (Literal["x"], "x")}, "kind: no longer allows y"),
        ({"id": (Literal["x"], "x")}, "id: is now a closed set"),
        ({"id": (int, ...)}, "id: type was string, is integer"),
        ({"text": (Annotated[str, Field(max_length=9)], "")}, "text: maxLength was 10, is 9"),
        ({"id": (Annotated[str, Field(min_length=1)], ...)}, "id: minLength was none, is 1"),
        ({"id": (Annotated[str, Field(pattern="a")], ...)}, "id: pattern was none, is a"),
        ({"count": (Annotated[int, Field(ge=1)], 1)}, "count: minimum was 0, is 1"),
        ({"maybe": (int, 0)}, "maybe: null is no longer allowed as it was"),
        ({"inner": (InnerWithLess | None, None)}, "inner: Inner is no longer allowed as it was"),
        ({"items": (tuple[InnerWithLess, ...], ())}, "items.*.b: removed"),
    ],
)
def test_a_narrower_model_wants_a_new_version(fields: dict[str, Any], says: str) -> None:
    assert says in change(**fields)
