/* One connection of the load generator: its state, and the verification of answers. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdint.h>

#include "wire.h"

enum state { UNUSED, CONNECTING, ANSWER, READY, ECHO, DOWNLOAD, UPLOAD, UPLOADED, ENDING };

/* The outcome of an exchange; all but DONE are faults. */
enum outcome {
    DONE,
    REFUSED, /* no connection */
    RESET,
    EARLY, /* the stream ended too soon */
    WRONG, /* other bytes than expected, or more */
    TIMEOUT,
    OUTCOMES
};

struct client {
    int fd;
    enum state state;
    unsigned held;
    uint64_t began; /* ns */
    uint64_t left, offset;
    unsigned char buffer[MESSAGE], expected[MESSAGE];
};

/* The epoll descriptor for all clients; events carry the client. */
extern int client_poller;

/* Called when a client becomes READY, and when it has ended with any outcome. Exchanges leave a client READY. */
void client_ready(struct client *client);
void client_ended(struct client *client, enum outcome outcome);

/* Connect and ask for a name; the client becomes READY with the backend's verified answer. */
void client_start(struct client *client, uint16_t port, unsigned name, uint64_t now);

/* For a READY client. After client_finish(), it ends as DONE when the other side has finished too. */
void client_echo(struct client *client, uint64_t number, uint64_t now);
void client_download(struct client *client, uint64_t bytes, uint64_t now);
void client_upload(struct client *client, uint64_t bytes, uint64_t now);
void client_finish(struct client *client);

/* For any client that is not UNUSED. */
void client_end(struct client *client, enum outcome outcome);
void client_event(struct client *client, uint32_t events);

#endif
