/* The counters of the load generator, and its report. */
#ifndef REPORT_H
#define REPORT_H

#include <stdint.h>

#include "client.h"
#include "options.h"

/* Make room for so many latencies. */
void report_init(unsigned long count);

void report_latency(uint64_t ns);
void report_outcome(enum outcome outcome);

/* The number of connections that have not ended as DONE. */
unsigned long report_faults(void);

/* Print one line of JSON. */
void report_print(const struct options *options, unsigned long connections, unsigned long done, uint64_t ns);

#endif
