"""What people do besides buying: they review, follow, write posts and comment; each function is one command.

Like `stack.traffic`, whose rules for taking and giving back hold here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stack import words
from stack.shop import Post
from stack.traffic import CONFLICT, NOT_FOUND, Worker


def review_product(worker: Worker) -> bool:
    """A product is judged; one who has judged it already is told so."""
    random = worker.random
    user, product = worker.shop.users.look(random), worker.shop.products.look(random)
    if user is None or product is None:
        return False
    rating = random.choice((1, 2, 3, 4, 4, 4, 5, 5, 5, 5))
    body = {
        "product_id": product.id,
        "user_id": user.id,
        "rating": rating,
        "body": f"{words.VERDICTS[rating - 1]} {random.choice(words.OPINIONS)}",
    }
    if review := worker.command("review_product", "POST /reviews", body, CONFLICT):
        worker.shop.reviews.give(review["id"])
    return True


def withdraw_review(worker: Worker) -> bool:
    """Somebody thinks better of it."""
    review = worker.shop.reviews.take(worker.random)
    if review:
        worker.command("withdraw_review", f"DELETE /reviews/{review}")
    return review is not None


def relate_products(worker: Worker) -> bool:
    """A product's neighbours on its page are chosen anew."""
    random, products = worker.random, worker.shop.products
    if product := products.take(random):
        beside = {other.id for _ in range(random.randrange(6)) if (other := products.look(random))}
        body = {"related": sorted(beside - {product.id})}
        answer = worker.command("relate_products", f"PUT /products/{product.id}/related", body)
        if answer:
            products.give(replace(product, version=answer["version"]))
    return product is not None


def follow_user(worker: Worker) -> bool:
    """Somebody wants to hear of another; doing it twice changes nothing."""
    random = worker.random
    follower, followee = worker.shop.users.look(random), worker.shop.users.look(random)
    if follower is None or followee is None or follower.id == followee.id:
        return False
    if worker.command("follow_user", f"PUT /users/{follower.id}/following/{followee.id}") is not None:
        worker.shop.follows.give((follower.id, followee.id))
    return True


def unfollow_user(worker: Worker) -> bool:
    """Somebody has heard enough."""
    pair = worker.shop.follows.take(worker.random)
    if pair:
        worker.command("unfollow_user", f"DELETE /users/{pair[0]}/following/{pair[1]}")
    return pair is not None


def write_post(worker: Worker) -> bool:
    """Somebody has something to tell, and now and then is not done with it yet."""
    random = worker.random
    user = worker.shop.users.look(random)
    if user is None:
        return False
    body = {
        "author_id": user.id,
        "title": f"My {random.choice(words.ADJECTIVES).lower()} {random.choice(words.GOODS).lower()}",
        "body": " ".join(random.choice(words.OPINIONS) for _ in range(random.randint(1, 12))),
        "status": random.choice(("published", "published", "published", "draft")),
    }
    if post := worker.command("write_post", "POST /posts", body):
        worker.shop.posts.give(Post(id=post["id"], version=post["version"]))
    return True


def edit_post(worker: Worker) -> bool:
    """A post is corrected, published or withdrawn."""
    random = worker.random
    if post := worker.shop.posts.take(random):
        body = {"version": post.version, "status": random.choice(("published", "published", "draft"))}
        if random.random() < 0.5:
            body["title"] = f"My {random.choice(words.GOODS).lower()}, again"
        if answer := worker.command("edit_post", f"PATCH /posts/{post.id}", body):
            worker.shop.posts.give(replace(post, version=answer["version"]))
    return post is not None


def delete_post(worker: Worker) -> bool:
    """A post goes, and the comments under it."""
    post = worker.shop.posts.take(worker.random)
    if post:
        worker.command("delete_post", f"DELETE /posts/{post.id}")
    return post is not None


def write_comment(worker: Worker) -> bool:
    """Somebody answers a post, which may be gone by now."""
    random = worker.random
    user, post = worker.shop.users.look(random), worker.shop.posts.look(random)
    if user is None or post is None:
        return False
    body = {"author_id": user.id, "body": random.choice(words.OPINIONS)}
    if comment := worker.command("write_comment", f"POST /posts/{post.id}/comments", body, NOT_FOUND):
        worker.shop.comments.give(comment["id"])
    return True


def delete_comment(worker: Worker) -> bool:
    """A comment is taken back, if its post has not taken it along."""
    comment = worker.shop.comments.take(worker.random)
    if comment:
        worker.command("delete_comment", f"DELETE /comments/{comment}", None, NOT_FOUND)
    return comment is not None


#: How often, beside a thousand commands of `stack.traffic`.
SHARES: dict[Callable[[Worker], bool], int] = {
    review_product: 80,
    withdraw_review: 8,
    relate_products: 12,
    follow_user: 70,
    unfollow_user: 12,
    write_post: 50,
    edit_post: 15,
    delete_post: 8,
    write_comment: 80,
    delete_comment: 12,
}
