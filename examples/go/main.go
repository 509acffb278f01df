// An order service in Go: posts to the discussion of an order, and consumes the events of its tenant.
//
// usage: example notify ORDER_ID USER_ID | example consume FOLDER
// environment: DISCUSS_ADDR, DISCUSS_TOKEN (of a service), DISCUSS_SERVICE_CONFIG (service-config.json of the bundle)
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // for healthCheckConfig
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	discuss "discuss.serp/gen/serp/discuss/v1"
)

func main() {
	conn, err := dial(os.Getenv("DISCUSS_ADDR"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+os.Getenv("DISCUSS_TOKEN"))
	switch os.Args[1] {
	case "notify":
		err = notify(ctx, conn, number(os.Args[2]), number(os.Args[3]))
	case "consume":
		for {
			log.Print(consume(ctx, conn, os.Args[2]))
			time.Sleep(time.Second)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

func dial(address string) (*grpc.ClientConn, error) {
	config, err := os.ReadFile(os.Getenv("DISCUSS_SERVICE_CONFIG"))
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(config)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
}

// notify posts a SYSTEM message as the service, then a message as the user.
func notify(ctx context.Context, conn *grpc.ClientConn, orderID, userID int64) error {
	topic, err := discuss.NewChannelServiceClient(conn).GetOrCreateTopicChannel(ctx, &discuss.GetOrCreateTopicChannelRequest{
		Name:          fmt.Sprintf("Order %d", orderID),
		Entity:        &discuss.EntityRef{Type: "order", Id: orderID},
		MemberUserIds: []int64{userID},
	})
	if err != nil {
		return err
	}
	messages := discuss.NewMessageServiceClient(conn)
	// Keep the request id of an event of your own, so that a repeated call posts nothing twice.
	notice := &discuss.SendMessageRequest{
		ChannelId: topic.Channel.Id,
		Type:      discuss.MessageType_MESSAGE_TYPE_SYSTEM,
		Content:   fmt.Sprintf("Order %d was shipped.", orderID),
		RequestId: uuid(),
	}
	if _, err := messages.SendMessage(ctx, notice); err != nil {
		return err
	}
	asUser := metadata.AppendToOutgoingContext(ctx, "x-user-id", strconv.FormatInt(userID, 10))
	text := &discuss.SendMessageRequest{ChannelId: topic.Channel.Id, Content: "Thank you!", RequestId: uuid()}
	_, err = messages.SendMessage(asUser, text)
	return err
}

// consume writes the place of each event to a file, then stores the cursor. It may be killed at any moment: events
// after the stored cursor are delivered again.
func consume(ctx context.Context, conn *grpc.ClientConn, folder string) error {
	stored := filepath.Join(folder, "cursor")
	cursor, err := os.ReadFile(stored)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	stream, err := discuss.NewEventServiceClient(conn).StreamTenantEvents(ctx, &discuss.StreamTenantEventsRequest{
		Cursor: string(cursor), FromOldest: true,
	})
	if err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		switch payload := response.Payload.(type) {
		case *discuss.StreamTenantEventsResponse_Event:
			event := payload.Event.Event
			if err := process(folder, fmt.Sprintf("%d:%d\n", event.ChannelId, event.Seq)); err != nil {
				return err
			}
		case *discuss.StreamTenantEventsResponse_Reset_:
			log.Print("the log does not contain all events: read copied data again, as TenantStreamReset describes")
		}
		// A rename replaces the file as a whole.
		if err := os.WriteFile(stored+".new", []byte(response.Cursor), 0o600); err != nil {
			return err
		}
		if err := os.Rename(stored+".new", stored); err != nil {
			return err
		}
	}
}

func process(folder, line string) error {
	file, err := os.OpenFile(filepath.Join(folder, "processed"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(line)
	return err
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
