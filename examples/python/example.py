"""An order service in Python: posts to the discussion of an order, and consumes the events of its tenant.

usage: example.py notify ORDER_ID USER_ID | example.py consume FOLDER
environment: DISCUSS_ADDR, DISCUSS_TOKEN (of a service), DISCUSS_SERVICE_CONFIG (service-config.json of the bundle)
"""

import logging
import os
import pathlib
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2

from serp.discuss.v1 import channel_pb2, channel_service_pb2, channel_service_pb2_grpc
from serp.discuss.v1 import event_service_pb2, event_service_pb2_grpc
from serp.discuss.v1 import message_pb2, message_service_pb2, message_service_pb2_grpc

SERVICE = [("authorization", f"Bearer {os.environ['DISCUSS_TOKEN']}")]


def dial() -> grpc.Channel:
    options = [
        ("grpc.service_config", pathlib.Path(os.environ["DISCUSS_SERVICE_CONFIG"]).read_text()),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    return grpc.insecure_channel(os.environ["DISCUSS_ADDR"], options)


def notify(channel: grpc.Channel, order_id: int, user_id: int) -> None:
    """Posts a SYSTEM message as the service, then a message as the user."""
    topic = channel_service_pb2_grpc.ChannelServiceStub(channel).GetOrCreateTopicChannel(
        channel_service_pb2.GetOrCreateTopicChannelRequest(
            name=f"Order {order_id}",
            entity=channel_pb2.EntityRef(type="order", id=order_id),
            member_user_ids=[user_id],
        ),
        metadata=SERVICE,
    ).channel
    messages = message_service_pb2_grpc.MessageServiceStub(channel)
    # Keep the request id of an event of your own, so that a repeated call posts nothing twice.
    notice = message_service_pb2.SendMessageRequest(
        channel_id=topic.id,
        type=message_pb2.MESSAGE_TYPE_SYSTEM,
        content=f"Order {order_id} was shipped.",
        request_id=str(uuid.uuid4()),
    )
    messages.SendMessage(notice, metadata=SERVICE)
    text = message_service_pb2.SendMessageRequest(
        channel_id=topic.id, content="Thank you!", request_id=str(uuid.uuid4())
    )
    messages.SendMessage(text, metadata=[*SERVICE, ("x-user-id", str(user_id))])


def consume(channel: grpc.Channel, folder: pathlib.Path) -> None:
    """Writes the place of each event to a file, then stores the cursor. It may be killed at any moment: events after
    the stored cursor are delivered again."""
    stored = folder / "cursor"
    cursor = stored.read_text() if stored.exists() else ""
    request = event_service_pb2.StreamTenantEventsRequest(cursor=cursor, from_oldest=True)
    for response in event_service_pb2_grpc.EventServiceStub(channel).StreamTenantEvents(request, metadata=SERVICE):
        kind = response.WhichOneof("payload")
        if kind == "event":
            event = response.event.event
            with open(folder / "processed", "a", encoding="utf-8") as processed:
                processed.write(f"{event.channel_id}:{event.seq}\n")
        elif kind == "reset":
            logging.warning("the log does not contain all events: read copied data again (TenantStreamReset)")
        # A rename replaces the file as a whole.
        new = folder / "cursor.new"
        new.write_text(response.cursor)
        new.rename(stored)


def reason_of(error: grpc.RpcError) -> str:
    """The stable reason of an error (ErrorReason)."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return "UNSPECIFIED"


def main() -> None:
    with dial() as channel:
        if sys.argv[1] == "notify":
            notify(channel, int(sys.argv[2]), int(sys.argv[3]))
        while sys.argv[1] == "consume":
            try:
                consume(channel, pathlib.Path(sys.argv[2]))
            except grpc.RpcError as error:
                logging.warning("%s: %s", reason_of(error), error.details())
            time.sleep(1)


if __name__ == "__main__":
    main()
