/*
 * What the load generator and the backend say to each other, and how each knows that nothing was lost or changed.
 *
 * The client sends a TLS ClientHello, and the backend answers with 64 bytes that hold the hello's hash. Then come
 * messages of 64 bytes; the first byte of a message says what it is, and bytes 8 to 15 how many bytes it is about:
 *   E  sent back as it is
 *   D  the backend sends that many bytes of the pattern
 *   U  the client goes on with that many bytes of the pattern; the backend answers with such a message, which counts
 *      the bytes that came as they should
 * The end of the client's stream ends the connection.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

enum { MESSAGE = 64, HELLO_LIMIT = 4096, RECORD_HEADER = 5, CHUNK = 262144 };

/* A prime, so that a piece that comes twice or in the wrong place does not look right. */
enum { PATTERN_PERIOD = 65521 };

void wire_init(void);

/* CHUNK bytes of the pattern, as they stand at an offset of a stream. */
const unsigned char *pattern_at(uint64_t offset);

/* The answer to a hello. */
void make_answer(unsigned char message[MESSAGE], const unsigned char *hello, size_t length);

void make_message(unsigned char message[MESSAGE], char kind, uint64_t number);
uint64_t message_number(const unsigned char message[MESSAGE]);

/* Print to standard error, with what errno means, and exit with status 2. */
void die(const char *what) __attribute__((noreturn));

#endif
