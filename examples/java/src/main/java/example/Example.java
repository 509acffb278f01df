package example;

import com.google.gson.Gson;
import com.serp.discuss.v1.ChannelServiceGrpc;
import com.serp.discuss.v1.EntityRef;
import com.serp.discuss.v1.EventServiceGrpc;
import com.serp.discuss.v1.GetOrCreateTopicChannelRequest;
import com.serp.discuss.v1.MessageServiceGrpc;
import com.serp.discuss.v1.MessageType;
import com.serp.discuss.v1.SendMessageRequest;
import com.serp.discuss.v1.StreamTenantEventsRequest;
import io.grpc.ClientInterceptor;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * An order service in Java: posts to the discussion of an order, and consumes the events of its tenant.
 *
 * <p>usage: notify ORDER_ID USER_ID | consume FOLDER
 *
 * <p>environment: DISCUSS_ADDR, DISCUSS_TOKEN (of a service), DISCUSS_SERVICE_CONFIG (service-config.json of the bundle)
 */
public final class Example {
  public static void main(String[] args) throws Exception {
    ManagedChannel channel = dial(System.getenv("DISCUSS_ADDR"));
    try {
      if (args[0].equals("notify")) notify(channel, Long.parseLong(args[1]), Long.parseLong(args[2]));
      while (args[0].equals("consume")) {
        try {
          consume(channel, Path.of(args[1]));
        } catch (StatusRuntimeException error) {
          System.err.println(error.getStatus());
        }
        TimeUnit.SECONDS.sleep(1);
      }
    } finally {
      channel.shutdownNow();
    }
  }

  @SuppressWarnings("unchecked")
  private static ManagedChannel dial(String address) throws IOException {
    String config = Files.readString(Path.of(System.getenv("DISCUSS_SERVICE_CONFIG")));
    return NettyChannelBuilder.forTarget(address)
        .usePlaintext()
        .defaultServiceConfig(new Gson().fromJson(config, Map.class))
        .keepAliveTime(30, TimeUnit.SECONDS)
        .keepAliveTimeout(10, TimeUnit.SECONDS)
        .intercept(header("authorization", "Bearer " + System.getenv("DISCUSS_TOKEN")))
        .build();
  }

  /** Posts a SYSTEM message as the service, then a message as the user. */
  private static void notify(ManagedChannel channel, long orderId, long userId) {
    long channelId =
        ChannelServiceGrpc.newBlockingStub(channel)
            .getOrCreateTopicChannel(
                GetOrCreateTopicChannelRequest.newBuilder()
                    .setName("Order " + orderId)
                    .setEntity(EntityRef.newBuilder().setType("order").setId(orderId))
                    .addMemberUserIds(userId)
                    .build())
            .getChannel()
            .getId();
    var messages = MessageServiceGrpc.newBlockingStub(channel);
    // Keep the request id of an event of your own, so that a repeated call posts nothing twice.
    messages.sendMessage(
        SendMessageRequest.newBuilder()
            .setChannelId(channelId)
            .setType(MessageType.MESSAGE_TYPE_SYSTEM)
            .setContent("Order " + orderId + " was shipped.")
            .setRequestId(UUID.randomUUID().toString())
            .build());
    messages
        .withInterceptors(header("x-user-id", Long.toString(userId)))
        .sendMessage(
            SendMessageRequest.newBuilder()
                .setChannelId(channelId)
                .setContent("Thank you!")
                .setRequestId(UUID.randomUUID().toString())
                .build());
  }

  /**
   * Writes the place of each event to a file, then stores the cursor. It may be killed at any moment: events after the
   * stored cursor are delivered again.
   */
  private static void consume(ManagedChannel channel, Path folder) throws IOException {
    Path stored = folder.resolve("cursor");
    String cursor = Files.exists(stored) ? Files.readString(stored) : "";
    var request = StreamTenantEventsRequest.newBuilder().setCursor(cursor).setFromOldest(true).build();
    var responses = EventServiceGrpc.newBlockingStub(channel).streamTenantEvents(request);
    while (responses.hasNext()) {
      var response = responses.next();
      switch (response.getPayloadCase()) {
        case EVENT -> {
          var event = response.getEvent().getEvent();
          Files.write(
              folder.resolve("processed"),
              List.of(event.getChannelId() + ":" + event.getSeq()),
              StandardOpenOption.CREATE,
              StandardOpenOption.APPEND);
        }
        case RESET -> System.err.println("the log does not contain all events: see TenantStreamReset");
        default -> {}
      }
      // A move replaces the file as a whole.
      Path next = folder.resolve("cursor.new");
      Files.writeString(next, response.getCursor());
      Files.move(next, stored, StandardCopyOption.ATOMIC_MOVE);
    }
  }

  private static ClientInterceptor header(String name, String value) {
    var headers = new Metadata();
    headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }
}
