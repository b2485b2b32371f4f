"""Reviews of products: one per user and product."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from writer.access import Actor, Guarded, actor_of
from writer.answers import Made
from writer.execution import Answer, IdempotencyKey, created, execute
from writer.fields import Body, Id, Prose, identify
from writer.problems import problems, unknown
from writer.transaction import Database, only

routes = APIRouter(tags=["reviews"], route_class=Guarded)


class ReviewSubmission(Body):
    """What a user thinks of a product."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"product_id": "42", "user_id": "7", "rating": 5, "body": "Prints the sum without a fault."}]
        }
    )

    product_id: Id
    user_id: Id
    rating: Annotated[int, Field(ge=1, le=5)]
    body: Annotated[Prose, Field(min_length=10)]


@routes.post("/reviews", status_code=201, response_model=Made, responses=problems(404, 409))
def submit_review(request: Request, body: ReviewSubmission, key: IdempotencyKey = None) -> Response:
    """Review a product, once."""
    return execute(request, lambda db: submit(db, body), key=key, body=body)


@routes.delete("/reviews/{review_id}", status_code=204, responses=problems(404))
def delete_review(request: Request, review_id: Id) -> Response:
    """Delete a review; its user may write another."""
    return execute(request, lambda db: delete(db, actor_of(request), identify(review_id, "review")))


def submit(db: Database, review: ReviewSubmission) -> Answer:
    """The new review."""
    submitted = db.execute(
        """
        insert into reviews (product_id, user_id, rating, body)
        values (%(product_id)s, %(user_id)s, %(rating)s, %(body)s)
        returning id
        """,
        {
            "product_id": identify(review.product_id, "product"),
            "user_id": identify(review.user_id, "user"),
            "rating": review.rating,
            "body": review.body,
        },
    )
    return created({"id": str(only(submitted)["id"])})


def delete(db: Database, actor: Actor, id: int) -> Answer:
    """Nothing to tell; the review is gone."""
    row = db.execute("delete from reviews where id = %(id)s returning user_id", {"id": id}).fetchone()
    if row is None:
        raise unknown("review")
    actor.require_own(row["user_id"], "the review")
    return Answer()
