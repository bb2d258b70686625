/*
 * The load generator of the benchmarks: TLS connections by server name through a proxy, and traffic over them.
 *
 * It sets up kept connections, prints "ready", waits for a line on its standard input, works, prints a report in JSON,
 * and holds the connections until its standard input ends. It verifies all answers; the exit status is 1 if any was
 * wrong or missing. Latencies count from the time at which an exchange was due.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "options.h"
#include "report.h"

/* Concurrent attempts while kept connections are set up: fewer than the backlog of any proxy. */
enum { CONNECTING_LIMIT = 64 };

static const uint64_t SECOND = 1000000000;

static struct options options;
static struct client *clients;

/* A ring of clients that may begin: UNUSED ones while connections are made, READY ones afterwards. */
static struct client **waiting;
static unsigned long waiting_at, waiting_count;

static unsigned long connected, ready, ended, issued, done;
static int working; /* the kept connections are set up, and the work has begun */
static uint64_t work_began;
static int timer;
static volatile sig_atomic_t timed_out;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void push(struct client *client)
{
    waiting[(waiting_at + waiting_count++) % options.concurrent] = client;
}

static struct client *pop(void)
{
    struct client *client = waiting[waiting_at];
    waiting_at = (waiting_at + 1) % options.concurrent;
    waiting_count--;
    return client;
}

static void finish_one(const struct client *client)
{
    done++;
    report_latency(now_ns() - client->began);
}

void client_ready(struct client *client)
{
    if (options.mode == CONNECTIONS) {
        client_finish(client);
        return;
    }
    push(client);
    if (working)
        finish_one(client);
    else
        ready++;
}

void client_ended(struct client *client, enum outcome outcome)
{
    ended++;
    report_outcome(outcome);
    if (options.mode == CONNECTIONS) {
        push(client);
        if (outcome == DONE)
            finish_one(client);
    }
}

static void connect_one(uint64_t due)
{
    /* 7919 is a prime: every name is used, and no two neighbours follow each other. */
    unsigned name = (unsigned)(connected++ * 7919 % options.names);
    client_start(pop(), (uint16_t)options.port, name, due);
}

static void begin_one(uint64_t due)
{
    issued++;
    switch (options.mode) {
    case ROUND_TRIPS:
        client_echo(pop(), issued, due);
        break;
    case DOWNLOADS:
        client_download(pop(), options.bytes, due);
        break;
    case UPLOADS:
        client_upload(pop(), options.bytes, due);
        break;
    default:
        connect_one(due);
    }
}

static unsigned long total(void)
{
    return options.mode == CONNECTIONS || options.mode == ROUND_TRIPS ? options.count : options.concurrent;
}

static void set_timer(uint64_t due)
{
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(due / SECOND), .tv_nsec = (long)(due % SECOND)}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL))
        die("timerfd_settime");
}

/* Begin everything that is due; an exchange that fails at once makes room for the next. */
static void begin_due(void)
{
    while (waiting_count && issued < total()) {
        uint64_t now = now_ns(), due = options.rate ? work_began + issued * SECOND / options.rate : now;
        if (due > now) {
            set_timer(due);
            return;
        }
        begin_one(due);
    }
}

static void turn(void)
{
    struct epoll_event events[256];
    uint64_t expirations;
    int count = epoll_wait(client_poller, events, 256, -1);
    if (count < 0 && errno != EINTR)
        die("epoll_wait");
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr != &timer)
            client_event(events[i].data.ptr, events[i].events);
        else if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
            die("timerfd");
    }
}

static void set_up(void)
{
    while (ready < options.concurrent && !report_faults() && !timed_out) {
        while (connected < options.concurrent && connected - ready - ended < CONNECTING_LIMIT)
            connect_one(now_ns());
        turn();
    }
}

/* The loss of a kept connection ends the work, since it cannot be replaced. */
static int complete(void)
{
    return options.mode == CONNECTIONS ? ended == total() : done == total() || report_faults();
}

static void work(void)
{
    working = 1;
    work_began = now_ns();
    for (begin_due(); !complete() && !timed_out; begin_due())
        turn();
}

static int wait_for_line(void)
{
    char byte;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &byte, 1)) > 0 && byte != '\n')
        ;
    return got > 0;
}

static void give_up(int number)
{
    (void)number;
    timed_out = 1;
}

static void init(void)
{
    struct sigaction on_alarm = {.sa_handler = give_up};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &timer};

    wire_init();
    report_init(options.count);
    clients = calloc(options.concurrent, sizeof *clients);
    waiting = calloc(options.concurrent, sizeof *waiting);
    if (!clients || !waiting)
        die("calloc");
    for (unsigned long i = 0; i < options.concurrent; i++)
        push(&clients[i]);
    client_poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (client_poller < 0 || timer < 0 || epoll_ctl(client_poller, EPOLL_CTL_ADD, timer, &event))
        die("epoll");
    sigaction(SIGALRM, &on_alarm, NULL);
    alarm((unsigned)options.seconds);
}

int main(int argc, char **argv)
{
    uint64_t duration = 0;

    options = read_options(argc, argv);
    init();
    if (options.mode != CONNECTIONS)
        set_up();
    if (!report_faults() && !timed_out) {
        printf("ready\n");
        fflush(stdout);
        if (!wait_for_line())
            return 2;
        work();
        duration = now_ns() - work_began;
    }
    if (timed_out)
        for (unsigned long i = 0; i < options.concurrent; i++)
            if (clients[i].state != UNUSED)
                client_end(&clients[i], TIMEOUT);
    report_print(&options, connected, done, duration);
    while (wait_for_line())
        ;
    return report_faults() > 0;
}
