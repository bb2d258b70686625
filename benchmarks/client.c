#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hello.h"

int client_poller;

static unsigned char chunk[CHUNK];

static void control(struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(client_poller, operation, client->fd, &event))
        die("epoll_ctl");
}

void client_end(struct client *client, enum outcome outcome)
{
    if (client->fd >= 0)
        close(client->fd);
    client->state = UNUSED;
    client_ended(client, outcome);
}

static void fail_by_errno(struct client *client)
{
    client_end(client, client->state == CONNECTING ? REFUSED : RESET);
}

void client_start(struct client *client, uint16_t port, unsigned name, uint64_t now)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    client->state = CONNECTING;
    client->began = now;
    client->held = 0;
    client->offset = name;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        die("socket");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail_by_errno(client);
    else
        control(client, EPOLL_CTL_ADD, EPOLLOUT);
}

static int send_whole(struct client *client, const unsigned char *bytes, size_t length)
{
    if (send(client->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length)
        return 1;
    fail_by_errno(client);
    return 0;
}

static void say_hello(struct client *client)
{
    const unsigned char *hello = hello_for((unsigned)client->offset);
    make_answer(client->expected, hello, HELLO_LENGTH);
    if (send_whole(client, hello, HELLO_LENGTH)) {
        client->state = ANSWER;
        control(client, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static int ask(struct client *client, enum state state, char kind, uint64_t number, uint64_t now)
{
    unsigned char message[MESSAGE];
    make_message(message, kind, number);
    memcpy(client->expected, message, MESSAGE);
    client->state = state;
    client->began = now;
    client->held = 0;
    client->left = number;
    client->offset = 0;
    return send_whole(client, message, MESSAGE);
}

void client_echo(struct client *client, uint64_t number, uint64_t now)
{
    ask(client, ECHO, 'E', number, now);
}

void client_download(struct client *client, uint64_t bytes, uint64_t now)
{
    ask(client, DOWNLOAD, 'D', bytes, now);
}

void client_upload(struct client *client, uint64_t bytes, uint64_t now)
{
    if (ask(client, UPLOAD, 'U', bytes, now))
        control(client, EPOLL_CTL_MOD, EPOLLOUT);
}

void client_finish(struct client *client)
{
    client->state = ENDING;
    if (shutdown(client->fd, SHUT_WR))
        fail_by_errno(client);
}

/* Expect exactly one message, whose bytes are known. */
static void read_message(struct client *client)
{
    unsigned char surplus;
    ssize_t got = recv(client->fd, client->buffer + client->held, MESSAGE - client->held, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got < 0) {
        fail_by_errno(client);
    } else if (!got) {
        client_end(client, EARLY);
    } else if ((client->held += (unsigned)got) == MESSAGE) {
        if (memcmp(client->buffer, client->expected, MESSAGE) || recv(client->fd, &surplus, 1, MSG_PEEK) > 0) {
            client_end(client, WRONG);
            return;
        }
        client->state = READY;
        client_ready(client);
    }
}

static void read_bulk(struct client *client)
{
    ssize_t got = recv(client->fd, chunk, CHUNK, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got < 0) {
        fail_by_errno(client);
    } else if (!got) {
        client_end(client, EARLY);
    } else if ((uint64_t)got > client->left || memcmp(chunk, pattern_at(client->offset), (size_t)got)) {
        client_end(client, WRONG);
    } else {
        client->offset += (uint64_t)got;
        client->left -= (uint64_t)got;
        if (!client->left) {
            client->state = READY;
            client_ready(client);
        }
    }
}

static void write_bulk(struct client *client)
{
    size_t length = client->left < CHUNK ? client->left : CHUNK;
    ssize_t sent = send(client->fd, pattern_at(client->offset), length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN)
        return;
    if (sent < 0) {
        fail_by_errno(client);
        return;
    }
    client->offset += (uint64_t)sent;
    client->left -= (uint64_t)sent;
    if (!client->left) {
        client->state = UPLOADED;
        control(client, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void read_end(struct client *client)
{
    unsigned char surplus;
    ssize_t got = recv(client->fd, &surplus, 1, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    client_end(client, got < 0 ? RESET : got ? WRONG : DONE);
}

void client_event(struct client *client, uint32_t events)
{
    switch (client->state) {
    case CONNECTING:
        if (events & (EPOLLERR | EPOLLHUP))
            client_end(client, REFUSED);
        else
            say_hello(client);
        break;
    case ANSWER:
    case ECHO:
    case UPLOADED:
        read_message(client);
        break;
    case DOWNLOAD:
        read_bulk(client);
        break;
    case UPLOAD:
        write_bulk(client);
        break;
    case ENDING:
        read_end(client);
        break;
    case READY: /* nothing was requested, so only an end can come */
        client_end(client, events & EPOLLERR ? RESET : EARLY);
        break;
    case UNUSED:
        break;
    }
}
