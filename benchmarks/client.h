/* One connection of the load generator: what it is waiting for, and whether what comes is what has to come. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdint.h>

#include "wire.h"

enum state { UNUSED, CONNECTING, ANSWER, READY, ECHO, DOWNLOAD, UPLOAD, UPLOADED, ENDING };

/* How an exchange ends; all but DONE are faults. */
enum outcome {
    DONE,
    REFUSED, /* no connection */
    RESET,
    EARLY, /* the stream ended too soon */
    WRONG, /* other bytes than those expected, or more of them */
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

/* Called when a client becomes READY, and when it has ended, well or not. Exchanges of a READY client leave it READY. */
void client_ready(struct client *client);
void client_ended(struct client *client, enum outcome outcome);

/* Connect and ask for a name; becomes READY with the backend's verified answer. */
void client_start(struct client *client, uint16_t port, unsigned name, uint64_t now);

/* For a READY client. A finished one ends DONE when the other side has finished too. */
void client_echo(struct client *client, uint64_t number, uint64_t now);
void client_download(struct client *client, uint64_t bytes, uint64_t now);
void client_upload(struct client *client, uint64_t bytes, uint64_t now);
void client_finish(struct client *client);

/* For any client that is not UNUSED. */
void client_end(struct client *client, enum outcome outcome);
void client_event(struct client *client, uint32_t events);

#endif
