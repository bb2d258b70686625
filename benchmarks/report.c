#include "report.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const FAULTS[] = {"refused", "reset", "early", "wrong", "timeout"};

static uint64_t *latencies;
static unsigned long latency_count, latency_limit;
static unsigned long outcomes[OUTCOMES];

void report_init(unsigned long count)
{
    latency_limit = count;
    if (!(latencies = calloc(count, sizeof *latencies)))
        die("calloc");
}

void report_latency(uint64_t ns)
{
    if (latency_count < latency_limit)
        latencies[latency_count++] = ns;
}

void report_outcome(enum outcome outcome)
{
    outcomes[outcome]++;
}

unsigned long report_faults(void)
{
    unsigned long faults = 0;
    for (int outcome = REFUSED; outcome < OUTCOMES; outcome++)
        faults += outcomes[outcome];
    return faults;
}

static int by_size(const void *left, const void *right)
{
    uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;
    return (one > other) - (one < other);
}

static double percentile(double share)
{
    unsigned long index = (unsigned long)((double)latency_count * share);
    if (!latency_count)
        return 0;
    return (double)latencies[index < latency_count ? index : latency_count - 1] / 1e3;
}

void report_print(const struct options *options, unsigned long connections, unsigned long done, uint64_t ns)
{
    unsigned long bytes = options->mode == DOWNLOADS || options->mode == UPLOADS ? options->bytes * done : 0;

    qsort(latencies, latency_count, sizeof *latencies, by_size);
    printf("{\"mode\": \"%s\", \"connections\": %lu, \"done\": %lu, \"bytes\": %lu, \"seconds\": %.6f, ",
           mode_names[options->mode], connections, done, bytes, (double)ns / 1e9);
    printf("\"latency_us\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ", percentile(0.5),
           percentile(0.9), percentile(0.99), percentile(1));
    printf("\"faults\": {");
    for (int outcome = REFUSED; outcome < OUTCOMES; outcome++)
        printf("\"%s\": %lu, ", FAULTS[outcome - REFUSED], outcomes[outcome]);
    printf("\"all\": %lu}}\n", report_faults());
    fflush(stdout);
}
