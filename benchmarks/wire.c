#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char pattern[PATTERN_PERIOD + CHUNK];

void wire_init(void)
{
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < sizeof pattern; i++) {
        if (i >= PATTERN_PERIOD) {
            pattern[i] = pattern[i - PATTERN_PERIOD];
            continue;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (unsigned char)state;
    }
}

const unsigned char *pattern_at(uint64_t offset)
{
    return pattern + offset % PATTERN_PERIOD;
}

void make_answer(unsigned char message[MESSAGE], const unsigned char *hello, size_t length)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ hello[i]) * 1099511628211u;
    make_message(message, 'A', hash);
}

void make_message(unsigned char message[MESSAGE], char kind, uint64_t number)
{
    memcpy(message, pattern, MESSAGE);
    message[0] = (unsigned char)kind;
    memcpy(message + 8, &number, sizeof number);
}

uint64_t message_number(const unsigned char message[MESSAGE])
{
    uint64_t number;
    memcpy(&number, message + 8, sizeof number);
    return number;
}

void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}
