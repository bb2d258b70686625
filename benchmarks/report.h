/* What the load generator counts, and how it tells. */
#ifndef REPORT_H
#define REPORT_H

#include <stdint.h>

#include "client.h"
#include "options.h"

/* For so many latencies at most. */
void report_init(unsigned long count);

void report_latency(uint64_t ns);
void report_outcome(enum outcome outcome);

/* How many connections have ended in any other way than DONE. */
unsigned long report_faults(void);

/* One line of JSON. */
void report_print(const struct options *options, unsigned long connections, unsigned long done, uint64_t ns);

#endif
