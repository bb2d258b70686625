/*
 * The backend of the benchmarks: answers as wire.h defines. One thread, one epoll loop, loopback only.
 *
 * Prints the port it listens on, and ends with its standard input, so that it never outlives its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

enum phase { HELLO, COMMAND, SENDING, RECEIVING };

struct connection {
    int fd;
    enum phase phase;
    size_t held;
    uint64_t left, offset, right;
    unsigned char buffer[HELLO_LIMIT];
};

static int poller;
static unsigned char chunk[CHUNK];

static void watch(struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event))
        die("epoll_ctl");
}

static void end(struct connection *connection)
{
    close(connection->fd);
    free(connection);
}

/* A message always fits, since the client waits for it before sending more. */
static int say(struct connection *connection, const unsigned char message[MESSAGE])
{
    return send(connection->fd, message, MESSAGE, MSG_NOSIGNAL) == MESSAGE;
}

/* Each of these returns whether the connection goes on. */

static int command(struct connection *connection)
{
    unsigned char *message = connection->buffer;
    if (message[0] == 'E')
        return say(connection, message);
    connection->left = message_number(message);
    connection->offset = connection->right = 0;
    if (message[0] == 'D') {
        connection->phase = SENDING;
        watch(connection, EPOLLOUT);
        return 1;
    }
    connection->phase = RECEIVING;
    return message[0] == 'U';
}

static int consume(struct connection *connection)
{
    unsigned char answer[MESSAGE], *buffer = connection->buffer;
    while (connection->phase == HELLO || connection->phase == COMMAND) {
        size_t length = MESSAGE;
        if (connection->phase == HELLO) {
            if (connection->held < RECORD_HEADER)
                return 1;
            length = RECORD_HEADER + buffer[3] * 256u + buffer[4];
            if (buffer[0] != 0x16 || length > HELLO_LIMIT)
                return 0;
        }
        if (connection->held < length)
            return 1;
        if (connection->phase == HELLO) {
            make_answer(answer, buffer, length);
            connection->phase = COMMAND;
            if (!say(connection, answer))
                return 0;
        } else if (!command(connection)) {
            return 0;
        }
        connection->held -= length;
        memmove(buffer, buffer + length, connection->held);
    }
    return 1;
}

static int receive(struct connection *connection, const unsigned char *bytes, size_t length)
{
    if (length > connection->left)
        return 0;
    if (!memcmp(bytes, pattern_at(connection->offset), length))
        connection->right += length;
    connection->offset += length;
    connection->left -= length;
    if (connection->left)
        return 1;
    unsigned char answer[MESSAGE];
    make_message(answer, 'U', connection->right);
    connection->phase = COMMAND;
    return say(connection, answer);
}

static int readable(struct connection *connection)
{
    int bulk = connection->phase == RECEIVING;
    unsigned char *to = bulk ? chunk : connection->buffer + connection->held;
    size_t room = bulk ? CHUNK : HELLO_LIMIT - connection->held;
    ssize_t got = recv(connection->fd, to, room, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    if (bulk)
        return receive(connection, chunk, (size_t)got);
    connection->held += (size_t)got;
    if (!consume(connection))
        return 0;
    if (connection->phase == RECEIVING && connection->held) {
        size_t held = connection->held;
        connection->held = 0;
        return receive(connection, connection->buffer, held);
    }
    return 1;
}

static int writable(struct connection *connection)
{
    size_t length = connection->left < CHUNK ? connection->left : CHUNK;
    ssize_t sent = send(connection->fd, pattern_at(connection->offset), length, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN;
    connection->offset += (uint64_t)sent;
    connection->left -= (uint64_t)sent;
    if (!connection->left) {
        connection->phase = COMMAND;
        watch(connection, EPOLLIN);
    }
    return 1;
}

static void accept_all(int listening)
{
    int fd, one = 1;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection)
            die("calloc");
        connection->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
            die("epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        die("accept");
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event events[256];
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event arrival = {.events = EPOLLIN, .data.ptr = &listening};

    wire_init();
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listening, (struct sockaddr *)&address, size) || listen(listening, 4096) ||
        getsockname(listening, (struct sockaddr *)&address, &size))
        die("listen");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listening, &arrival))
        die("epoll_ctl");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input))
        die("standard input has to be a pipe");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poller, events, 256, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection)
                return 0;
            if (events[i].data.ptr == &listening)
                accept_all(listening);
            else if (!(connection->phase == SENDING ? writable(connection) : readable(connection)))
                end(connection);
        }
    }
}
