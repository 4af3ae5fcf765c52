"""From the bytes of a body to a checked request, or to an error that names the field."""

import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec.inspect import ListType, LiteralType, StructType, TypedDictType, UnionType, type_info

from app.errors import InvalidRequestError, InvalidValueError
from schemas.chat import Json, Request

R = TypeVar("R", bound=Request)

MAX_VALUES = 500_000  # of a body: to decode and check a million takes a second, in which the server does nothing else
MAX_DIGITS = 1000  # of a number in a body that is large enough to hold more values
LARGE = 2 * MAX_VALUES  # bytes; a value has at least a character and a comma or a bracket

_PATH = re.compile(r" - at `(?:key` in `)?\$\.?(?P<path>.*)`$")
_ESCAPED_COLON = re.compile(rb"(?<!\\)(?:\\\\)*\\u003[aA]")
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$")
_NOT_A_CHOICE = re.compile(r"^Invalid enum value (?P<value>.*)$", re.DOTALL)


def parse_json(raw: bytes, *, content_type: bytes, depth: int = 0) -> Json:
    """Return the JSON object in a body.

    Args:
        raw: The body.
        content_type: The value of its header.
        depth: How deeply it may be nested; 0 is no limit.

    Raises:
        InvalidRequestError: It is not a JSON object.
    """
    if content_type and not content_type.partition(b";")[0].rstrip().lower().endswith(b"json"):
        raise InvalidRequestError(
            "The body must be JSON: send the header 'content-type: application/json'.", status=415
        )
    if len(raw) > LARGE:
        _check_amount(raw)
    try:
        body = _decoder.decode(raw)
        duplicates = _has_duplicate_keys(raw, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"The body is not valid JSON: {_reason(error, raw)}.") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    if duplicates:
        raise InvalidRequestError("The body is not valid JSON: an object has the same key twice.")
    if depth and raw.count(b"[") + raw.count(b"{") > depth and _is_deeper(body, depth):
        raise InvalidRequestError(f"The body is nested too deeply: at most {depth} levels.")
    return body


def validate(body: Json, kind: type[R]) -> R:
    """Return the checked request of a parsed body.

    Raises:
        InvalidRequestError: A field is missing, of the wrong type or out of range.
    """
    try:
        return kind.from_body(body)
    except (msgspec.ValidationError, RecursionError) as error:
        message = str(error)
    path = found["path"] if (found := _PATH.search(message)) else ""
    fact = _PATH.sub("", message)
    if (refused := _NOT_A_CHOICE.match(fact)) and (choices := [*_choices(type_info(kind), path)]):
        fact = f"Expected `{' | '.join(choices)}`, got {refused['value']}"
    raise invalid_field(path, fact)


def _check_amount(raw: bytes) -> None:
    """Raise an error if there are too many values or digits, without decoding."""
    outside_strings = b"".join(raw.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    if sum(map(outside_strings.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise InvalidRequestError(f"The body has too many values: at most {MAX_VALUES}.")
    if b"0" * MAX_DIGITS in outside_strings.translate(_ZEROS):
        raise InvalidRequestError(f"The body has a number of {MAX_DIGITS} digits or more.")


def _finite(digits: str) -> float:
    if math.isinf(number := float(digits)):
        raise ValueError("number out of range")
    return number


_decoder = msgspec.json.Decoder(float_hook=_finite)  # msgspec itself takes 10 µs for a number like 1e308


def invalid_field(path: str, fact: str) -> InvalidRequestError:
    """Return the error about a value in a body; `fact` is what msgspec says of the value at this path."""
    if missing := _MISSING.match(fact):
        param = ".".join(filter(None, (path, missing["name"])))
        return InvalidRequestError(f"Missing required parameter: '{param}'.", param=param)
    return InvalidValueError(path, fact=fact)


def _choices(kind: object, path: str) -> Iterator[str]:
    """Yield the values that the field at a path, such as `messages[2].role`, may have."""
    step, _, rest = path.replace("[", ".").replace("]", "").partition(".")
    match kind:
        case UnionType(types=types):
            for each in types:
                yield from _choices(each, path)
        case LiteralType(values=values) if not path:
            yield from map(str, values)
        case ListType(item_type=item):
            yield from _choices(item, rest)
        case StructType(fields=fields) | TypedDictType(fields=fields):
            for field in fields:
                if field.encode_name == step:
                    yield from _choices(field.type, rest)


def _is_deeper(body: Json, depth: int) -> bool:
    level: list[Any] = [body]
    for _ in range(depth):
        inner = (each.values() if type(each) is dict else each for each in level)
        level = [part for parts in inner for part in parts if type(part) is dict or type(part) is list]
        if not level:
            return False
    return True


def _has_duplicate_keys(raw: bytes, value: object) -> bool:
    """Return whether decoding dropped a key: its colon is then missing when the value is encoded again."""
    colons = raw.count(b":") + (len(_ESCAPED_COLON.findall(raw)) if b"\\u003" in raw else 0)
    return colons != msgspec.json.encode(value).count(b":")


def _reason(error: Exception, raw: bytes) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = _PATH.sub("", str(error)).removeprefix("JSON is malformed: ")
    if "truncated" in text and rb"\ud" in raw.lower():  # msgspec looks for the other half of a pair
        return "it is cut off, or has a lone surrogate"
    return text[:1].lower() + text[1:]
