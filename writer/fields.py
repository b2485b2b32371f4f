"""The types of which the bodies of commands are made: what a text, an id, an amount of money may look like."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from writer.problems import unknown

MAX_ID = 2**63 - 1
MAX_AMOUNT = Decimal("9999999999.99")  # numeric(12, 2)


class Body(BaseModel):
    """A command's body: nothing that is not asked for, and nothing converted on the quiet."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def storable(text: str) -> str:
    """The text, if PostgreSQL can hold it: no NUL and nothing that UTF-8 cannot encode."""
    if "\x00" in text:
        raise PydanticCustomError("unstorable", "must not contain the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PydanticCustomError("unstorable", "must not contain a lone surrogate")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


def _amount(value: object) -> Decimal:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,2})?", value, re.ASCII):
        raise PydanticCustomError(
            "amount", 'must be a decimal string such as "12.50", at most two digits after the point'
        )
    return Decimal(value).quantize(Decimal("0.01"))


_Storable = AfterValidator(storable)
_NotBlank = AfterValidator(_not_blank)

#: Any text of reasonable length, empty too.
Prose = Annotated[str, StringConstraints(max_length=10_000), _Storable]
#: One line that names something.
Name = Annotated[str, StringConstraints(min_length=1, max_length=100), _Storable, _NotBlank]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200), _Storable, _NotBlank]
Email = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"), _Storable, Field(examples=["ada@example.org"])
]
Phone = Annotated[str, StringConstraints(min_length=1, max_length=40), _Storable, _NotBlank]
#: An absolute address, or a path on the shop's own site; no other scheme, since pages put it into src and href.
Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^(https?://|/)\S*$"), _Storable]
Tier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,29}$"), Field(examples=["gold"])]
#: An opaque id. That it is known is for the command to find out: an unknown one is 404, whatever it looks like.
Id = Annotated[str, StringConstraints(min_length=1, max_length=64), _Storable, Field(examples=["42"])]
Version = Annotated[int, Field(ge=1, le=MAX_ID, examples=[1])]
Price = Annotated[
    Decimal,
    BeforeValidator(_amount),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$", "examples": ["12.50"]}),
]


class ShippingAddress(BaseModel):
    """Where the goods go: any fields that the country's addresses need, each a text or null."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        frozen=True,
        json_schema_extra={"examples": [{"line1": "12 St James's Square", "city": "London", "country": "GB"}]},
    )
    # Pydantic's way to give the type of fields that have no name here.
    __pydantic_extra__: dict[str, Prose | None] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="after")
    def _some_fields(self) -> Self:
        names = [storable(name) for name in self.fields_given]
        if not 1 <= len(names) <= 20 or max(map(len, names)) > 40:
            raise PydanticCustomError("address", "must have 1 to 20 fields, their names at most 40 characters long")
        return self

    @property
    def fields_given(self) -> dict[str, str | None]:
        """The address itself."""
        return self.__pydantic_extra__


def identify(text: str, what: str) -> int:
    """The number behind an id. Raises the `Problem` that there is no such `what` where nothing ever had that id."""
    if re.fullmatch(r"[1-9][0-9]{0,18}", text, re.ASCII) and int(text) <= MAX_ID:
        return int(text)
    raise unknown(what)
