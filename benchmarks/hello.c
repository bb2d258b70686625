#include "hello.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wire.h"

enum { NAME_LENGTH = sizeof "n000000.example.com" - 1, EXTENSION_HEADER = 4 };

static unsigned char hello[HELLO_LENGTH];
static size_t name_at;
static size_t end;

static void put(const void *bytes, size_t length)
{
    memcpy(hello + end, bytes, length);
    end += length;
}

static void put16(size_t number)
{
    unsigned char bytes[2] = {(unsigned char)(number >> 8), (unsigned char)number};
    put(bytes, 2);
}

static void put_extension(unsigned type, const char *body, size_t length)
{
    put16(type);
    put16(length);
    put(body, length);
}

/* RFC 8446 4.1.2; each length is that of the rest of the hello. */
static void build(void)
{
    put("\x16\x03\x01", 3);
    put16(HELLO_LENGTH - RECORD_HEADER);
    put("\x01\x00", 2);
    put16(HELLO_LENGTH - RECORD_HEADER - 4);
    put("\x03\x03", 2);
    put(pattern_at(1000), 32); /* the random */
    put("\x20", 1);
    put(pattern_at(2000), 32); /* the session id */
    put16(10);
    put("\x13\x01\x13\x02\x13\x03\xc0\x2b\xc0\x2f", 10);
    put("\x01\x00", 2); /* no compression */
    put16(HELLO_LENGTH - end - 2);

    put16(0); /* server_name */
    put16(NAME_LENGTH + 5);
    put16(NAME_LENGTH + 3);
    put("\x00", 1);
    put16(NAME_LENGTH);
    name_at = end;
    put("n000000.example.com", NAME_LENGTH);
    put_extension(10, "\x00\x04\x00\x1d\x00\x17", 6);                             /* supported_groups */
    put_extension(13, "\x00\x08\x04\x03\x08\x04\x04\x01\x05\x03", 10);            /* signature_algorithms */
    put_extension(16, "\x00\x0c\x02h2\x08http/1.1", 14);                          /* ALPN */
    put_extension(43, "\x04\x03\x04\x03\x03", 5);                                 /* supported_versions */
    put16(51);                                                                    /* key_share */
    put16(38);
    put16(36);
    put16(0x1d);
    put16(32);
    put(pattern_at(3000), 32);
    put16(21); /* padding; the buffer is zero */
    put16(HELLO_LENGTH - end - 2);
}

const unsigned char *hello_for(unsigned number)
{
    char digits[16];
    if (!end)
        build();
    snprintf(digits, sizeof digits, "%06u", number % NAME_COUNT_LIMIT);
    memcpy(hello + name_at + 1, digits, 6);
    return hello;
}
