/*
 * The protocol between the load generator and the backend, by which both verify that no byte is lost or changed.
 *
 * The client sends a TLS ClientHello, and the backend answers with 64 bytes that hold the hello's hash. Then come
 * messages of 64 bytes; the first byte of a message is its kind, and bytes 8 to 15 are a number of bytes:
 *   E  the backend sends it back
 *   D  the backend sends that many bytes of the pattern
 *   U  the client goes on with that many bytes of the pattern; the backend answers with such a message, which counts
 *      the bytes that arrived unchanged
 * The end of the client's stream ends the connection.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

enum { MESSAGE = 64, HELLO_LIMIT = 4096, RECORD_HEADER = 5, CHUNK = 262144 };

/* A prime, so that a chunk that is repeated or misplaced is noticed. */
enum { PATTERN_PERIOD = 65521 };

void wire_init(void);

/* CHUNK bytes of the pattern, from an offset of a stream. */
const unsigned char *pattern_at(uint64_t offset);

/* The answer to a hello. */
void make_answer(unsigned char message[MESSAGE], const unsigned char *hello, size_t length);

void make_message(unsigned char message[MESSAGE], char kind, uint64_t number);
uint64_t message_number(const unsigned char message[MESSAGE]);

/* Print a message and the text of errno to standard error, and exit with status 2. */
void die(const char *what) __attribute__((noreturn));

#endif
