/* A TLS ClientHello as browsers send it, padded to 517 bytes. */
#ifndef HELLO_H
#define HELLO_H

enum { HELLO_LENGTH = 517, NAME_COUNT_LIMIT = 1000000 };

/* The hello for nNNNNNN.example.com; every call returns the same buffer. */
const unsigned char *hello_for(unsigned number);

#endif
