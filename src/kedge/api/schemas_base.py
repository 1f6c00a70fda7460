"""What all documents of the API share: their numbers and times as text, the closed object, and the problem object."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["10412.37000000"])]
"""A number written out: money in the quote currency, a price, a quantity, a fraction (0.01 is 1 %) or a probability."""
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-07-01T00:15:00Z"])]
"""RFC 3339, UTC; as many decimals of a second as the fact has (none, 3 or 9)."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Seq = Annotated[int, Field(ge=0, description="Number of the journal record that holds it.")]
Cursor = Annotated[str, Field(description="Opaque; hand it back as `cursor` for the next page.")]


class Document(BaseModel):
    """A document that goes out."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ProblemItem(Document):
    """One defect of a request: where (a query parameter or a JSON pointer) and what."""

    where: str
    what: str


class Problem(Document):
    """RFC 9457: what failed, why, and what to do. Sent as `application/problem+json` for every status from 400 on."""

    type: str = Field(description="Address of a page about this kind of problem.", examples=["/errors/not-found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["NOT_FOUND"])
    fix: str
    instance: str | None = None
    correlation_id: str | None = Field(default=None, description="Stands in the log, and in the act where it was one.")
    retryable: bool = Field(default=False, description="Whether the very same request may succeed later.")
    errors: list[ProblemItem] = []
