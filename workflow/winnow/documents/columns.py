"""Types of source columns: what they are, how two become one, and values as arrays without a silent change.

A value is stored unchanged or is an InputError that names file, row and column. The type of a column is the
narrowest that holds all its values exactly: whole numbers and floats make floats (if every number is exact as
one), structs take the keys of all rows, null fits every type. Everything else must be one type, or be declared in
the config (`types`). `widen` is commutative and associative, so that neither the order of rows and files nor the
size of a chunk decides a type.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from winnow.stage import InputError

RESERVED = ("doc", "text", "bytes", "digest", "label")
DECLARED = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
}
"""Types that a config can declare for a column."""


@dataclass(frozen=True)
class Column:
    """A source column: its name in the config, its path (fields of structs), its Arrow type, whether the config declared
    the type, whether it is the label (whose type cannot be declared)."""

    name: str
    path: tuple[str, ...]
    type: pa.DataType
    declared: bool = False
    label: bool = False


@dataclass(frozen=True)
class Labels:
    """Classes of a corpus: class i has the name names[i] and, in the source, the value values[i]: a text, a whole number
    or a truth value."""

    names: tuple[str, ...]
    values: tuple[str | int | bool, ...]


@dataclass(frozen=True)
class Layout:
    """What is read of each row: the text column, the label column and the classes, meta columns."""

    text: Column
    label: Column | None
    labels: Labels | None
    meta: tuple[Column, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self.text, *([self.label] if self.label else []), *self.meta)

    @property
    def schema(self) -> pa.Schema:
        fields = [("doc", pa.int64()), ("text", pa.string()), ("bytes", pa.int32()), ("digest", pa.uint64())]
        if self.label:
            fields.append(("label", pa.int32()))
        return pa.schema(fields + [(column.name, column.type) for column in self.meta])


class Repeated(dict):
    """A JSON object that has each of the keys `names` more than once."""

    names: frozenset[str] = frozenset()


class Deep(dict):
    """A JSON value that is nested too deeply to be parsed."""


class Number(float):
    """A JSON number whose text is not the shortest one of its double; `str` is its text in the source."""

    text = ""

    def __str__(self) -> str:
        return self.text


class Huge(Number):
    """A JSON number beyond the range of a double."""


def number(text: str) -> float:
    """A JSON number with a fraction or an exponent."""
    value = float(text)
    if repr(value) == text:
        return value
    vanished = value == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
    written = Huge(value) if math.isinf(value) or vanished else Number(value)
    written.text = text
    return written


# ---------------------------------------------------------------- types


def plain(kind: pa.DataType) -> pa.DataType:
    """The type that is stored for a source type: no dictionaries, no large, view or fixed-size variants."""
    t = pa.types
    if t.is_dictionary(kind):
        return plain(kind.value_type)
    if t.is_large_string(kind) or t.is_string_view(kind):
        return pa.string()
    if t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind):
        return pa.binary()
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return pa.list_(plain(kind.value_type))
    if t.is_struct(kind):
        return pa.struct([(field.name, plain(field.type)) for field in kind])
    return kind


def known(kind: pa.DataType) -> pa.DataType:
    """`kind` with text in the place of what is null everywhere."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(known(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, known(field.type)) for field in kind])
    return kind


def widen(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The narrowest type for values of both types (`plain` ones), or None if there is none.

    A whole number that no double holds exactly passes here and is refused where it is read.
    """
    t = pa.types
    if one == other or t.is_null(other):
        return one
    if t.is_null(one):
        return other
    if t.is_integer(one) and t.is_integer(other):
        if t.is_signed_integer(one) == t.is_signed_integer(other):
            return one if one.bit_width >= other.bit_width else other
        unsigned, signed = (other, one) if t.is_signed_integer(one) else (one, other)
        if unsigned.bit_width == 64:
            return unsigned
        return signed if signed.bit_width > unsigned.bit_width else pa.int64()
    numbers = [t.is_integer(kind) or t.is_floating(kind) for kind in (one, other)]
    if all(numbers):
        return pa.float64()
    if t.is_list(one) and t.is_list(other):
        inner = widen(one.value_type, other.value_type)
        return None if inner is None else pa.list_(inner)
    if t.is_struct(one) and t.is_struct(other):
        fields: dict[str, pa.DataType] = {field.name: field.type for field in one}
        for field in other:
            both = widen(fields.get(field.name, pa.null()), field.type)
            if both is None:
                return None
            fields[field.name] = both
        return pa.struct(sorted(fields.items()))
    if t.is_timestamp(one) and t.is_timestamp(other) and one.tz == other.tz:
        units = ("s", "ms", "us", "ns")
        return one if units.index(one.unit) >= units.index(other.unit) else other
    return None


def type_to_json(kind: pa.DataType) -> Any:
    """An Arrow type as JSON: its name, `{"list": type}` or `{"struct": [[name, type], ...]}`."""
    if pa.types.is_list(kind):
        return {"list": type_to_json(kind.value_type)}
    if pa.types.is_struct(kind):
        return {"struct": [[field.name, type_to_json(field.type)] for field in kind]}
    return str(kind)


def type_from_json(value: Any) -> pa.DataType:
    """The inverse of `type_to_json`. Raises ValueError for a type of another kind (decimal, map)."""
    if isinstance(value, dict) and "list" in value:
        return pa.list_(type_from_json(value["list"]))
    if isinstance(value, dict):
        return pa.struct([(name, type_from_json(kind)) for name, kind in value["struct"]])
    if value == "null":
        return pa.null()
    zoned = re.fullmatch(r"timestamp\[(s|ms|us|ns), tz=(.+)\]", value)
    if zoned:
        return pa.timestamp(zoned.group(1), zoned.group(2))
    floats = {"double": "float64", "float": "float32", "halffloat": "float16"}
    return pa.type_for_alias(floats.get(value, value))


def storable(kind: pa.DataType) -> str | None:
    """Why a type cannot be stored, or None if it can: what parquet and source.json do not keep."""
    try:
        type_from_json(type_to_json(kind))
        known_to_parquet = not pa.types.is_interval(kind)
    except ValueError:
        known_to_parquet = False
    if not known_to_parquet:
        return f"is {kind}; store it as text or a number"
    if pa.types.is_struct(kind):
        if not len(kind):
            return "is an object without fields in every row; take it out of the config"
        return next((why for field in kind if (why := storable(field.type))), None)
    return storable(kind.value_type) if pa.types.is_list(kind) else None


def shown(kind: pa.DataType) -> str:
    """A type in words, for messages."""
    t = pa.types
    for test, words in (
        (t.is_string, "text"),
        (t.is_uint64, "a whole number from 0 to 2**64"),
        (t.is_integer, "a whole number"),
        (t.is_floating, "a number"),
        (t.is_boolean, "true or false"),
        (t.is_list, "a list"),
        (t.is_struct, "an object"),
        (t.is_null, "null"),
    ):
        if test(kind):
            inner = ""
            if t.is_list(kind) and not t.is_null(kind.value_type):
                inner = f" ({kind.value_type})"
            return words + inner
    return str(kind)


def find_column(schema: pa.Schema, name: str) -> tuple[tuple[str, ...], pa.DataType] | None:
    """Path and type of column `name` (`a.b`: field b of struct a, unless a column has this name); None if there is none."""
    fields = {field.name: field.type for field in schema}
    if name in fields:
        return (name,), fields[name]
    for dot in (match.start() for match in re.finditer(r"\.", name)):
        head, tail = name[:dot], name[dot + 1 :]
        if head in fields and pa.types.is_struct(fields[head]):
            below = find_column(pa.schema(list(fields[head])), tail)
            if below:
                return (head, *below[0]), below[1]
    return None


def names(schema: pa.Schema) -> str:
    """The columns of a schema, fields of structs as a.b, for messages."""
    out = []
    for field in schema:
        below = list(field.type) if pa.types.is_struct(field.type) else []
        out += [f"{field.name}.{sub.name}" for sub in below] or [field.name]
    return ", ".join(out)


# ---------------------------------------------------------------- values of JSON


TOO_DEEP = "is nested too deeply; store it as text"


class Mixed(Exception):
    """A value that has no type, or none in common with those before it; the reason, as the end of a message."""


def infer(value: Any) -> pa.DataType:
    """The narrowest type of a value of JSON. Raises Mixed for lists of several types and numbers beyond 64 bits."""
    if value is None:
        return pa.null()
    if isinstance(value, bool):
        return pa.bool_()
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return pa.int64()
        if 0 <= value < 1 << 64:
            return pa.uint64()
        raise Mixed(f"is {value}, beyond 64 bits; write it as text")
    if isinstance(value, Huge):
        raise Mixed("is a number beyond the range of a double; write it as text")
    if isinstance(value, float):
        return pa.float64()
    if isinstance(value, str):
        return pa.string()
    if isinstance(value, list):
        inner = pa.null()
        for item in value:
            kind = infer(item)
            both = widen(inner, kind)
            if both is None:
                raise Mixed(f"is a list of {shown(inner)} and {shown(kind)}; make its items one type")
            inner = both
        return pa.list_(inner)
    if isinstance(value, Deep):
        raise Mixed(TOO_DEEP)
    if isinstance(value, Repeated):
        raise Mixed(f"has the key {min(value.names)!r} twice; keep one of them")
    if not all(name.isascii() or _is_unicode(name) for name in value):
        raise Mixed("has a key that is no valid text; store it as UTF-8")
    return pa.struct(sorted((name, infer(item)) for name, item in value.items()))


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def fits(value: Any, kind: pa.DataType) -> bool:
    """Whether a type holds a value of JSON exactly."""
    t = pa.types
    if value is None:
        return True
    if t.is_boolean(kind) or t.is_string(kind):
        return isinstance(value, bool if t.is_boolean(kind) else str)
    if t.is_integer(kind):
        low, high = (-(1 << 63), 1 << 63) if t.is_signed_integer(kind) else (0, 1 << 64)
        return isinstance(value, int) and not isinstance(value, bool) and low <= value < high
    if t.is_floating(kind):
        if isinstance(value, int) and not isinstance(value, bool):
            return abs(value) < 1 << 1000 and int(float(value)) == value
        return isinstance(value, float) and not isinstance(value, Huge)
    if t.is_list(kind):
        return isinstance(value, list) and all(fits(item, kind.value_type) for item in value)
    if t.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return (
            isinstance(value, dict)
            and not isinstance(value, Repeated | Deep)
            and all(name in fields and fits(item, fields[name]) for name, item in value.items())
        )
    return False


def declared(value: Any, kind: pa.DataType) -> Any:
    """A value of JSON (or a cell of a csv file) in the declared type of its column, if that loses nothing;
    otherwise the value itself."""
    if (
        pa.types.is_string(kind)
        and isinstance(value, bool | int | float | Decimal)
        and not isinstance(value, Huge)
    ):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if pa.types.is_string(kind) and isinstance(value, date | time):
        return value.isoformat()
    if not isinstance(value, str) or pa.types.is_string(kind):
        return int(value) if pa.types.is_integer(kind) and _whole(value) else value
    text = value.strip()
    if not text:
        return None
    try:
        if pa.types.is_integer(kind):
            return whole(text)
        if pa.types.is_floating(kind):
            return fraction(text)
    except ValueError:
        return value
    return {"true": True, "false": False}.get(text.lower(), value)


def _whole(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value.is_integer()


def fraction(text: str) -> float:
    """A number from its text. Raises ValueError for another text, and for a number that no double comes near."""
    value = float(text) if re.fullmatch(r"[-+.0-9eE]+|[-+]?(?i:inf|infinity|nan)", text) else None
    if value is None or (math.isinf(value) and "i" not in text.lower()):
        raise ValueError(text)
    if re.fullmatch(r"[-+]?[0-9]+", text) and int(value) != int(text):
        raise ValueError(text)
    if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        raise ValueError(text)
    return value


def whole(text: str) -> int:
    """A whole number from its text: 3, -3, 3.0; not 007, which is a name. Raises ValueError for another text."""
    match = re.fullmatch(r"(-?(?:0|[1-9][0-9]{0,17}))(\.0*)?", text)
    if not match:
        raise ValueError(text)
    return int(match.group(1))


def to_array(path: str, column: Column, values: list[Any], first: int) -> pa.Array:
    """Values of rows `first`... (from 0) as an array of the column's type.

    Raises InputError that names the row of a value which the type does not hold exactly, or of text that is not
    Unicode.
    """
    kind = column.type
    if column.declared:
        values = [declared(value, kind) for value in values]
    for number, value in enumerate(values, start=first + 1):
        if not fits(value, kind):
            got = f"{value!r:.40}" if column.declared and not isinstance(value, list | dict) else _kind(value)
            required = "declared as" if column.declared else "elsewhere"
            remedy = (
                "correct the row, or the declared type"
                if column.declared
                else advice(column.name, column.label)
            )
            raise InputError(
                f"{path}: row {number}: column {column.name!r} is {got}, {required} {shown(kind)}; {remedy}"
            )
    try:
        return pa.array([_floats(value, kind) for value in values] if _has_float(kind) else values, type=kind)
    except UnicodeEncodeError:
        for number, value in enumerate(values, start=first + 1):
            try:
                pa.array([value], type=kind)
            except UnicodeEncodeError:
                raise InputError(
                    f"{path}: row {number}: column {column.name!r} holds an unpaired surrogate (\\ud800 to \\udfff), "
                    "which is not valid in a text; remove it or write \\ufffd"
                ) from None
        raise


def _has_float(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_float(kind.value_type)
    return pa.types.is_floating(kind) or (
        pa.types.is_struct(kind) and any(_has_float(field.type) for field in kind)
    )


def _floats(value: Any, kind: pa.DataType) -> Any:
    """A value with whole numbers as floats where the type has floats: pyarrow takes none beyond 64 bits."""
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_list(kind):
        return [_floats(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: _floats(value.get(field.name), field.type) for field in kind}
    return value


def advice(name: str, label: bool) -> str:
    """What to do about a column of several types; the type of a label cannot be declared."""
    return "make it one type" + ("" if label else f", or declare one: types: {{{name}: string}}")


def _kind(value: Any) -> str:
    if isinstance(value, Deep):
        return "nested too deeply"
    if isinstance(value, Huge):
        return "a number beyond the range of a double"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value}" if len(str(value)) < 40 else "a large number"
    return "true or false" if isinstance(value, bool) else "text" if isinstance(value, str) else "null"
