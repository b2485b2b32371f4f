"""One row per user and other user whom they follow: from it, and the lists of posts, a feed is gathered as it is read."""

from projectors.read_model import ReadModel

FOLLOWING = ReadModel(
    name="following",
    comment="One row per user and other user whom they follow.",
    key=("follower_id", "followee_id"),
    columns="""
        follower_id bigint not null,
        followee_id bigint not null,
        primary key (follower_id, followee_id)
    """,
    affected_by={"follows": "select follower_id, followee_id from changed"},
    query="select f.follower_id, f.followee_id from mirror.follows f join affected a using (follower_id, followee_id)",
)
