/* The options of the load generator. */
#ifndef OPTIONS_H
#define OPTIONS_H

enum mode { CONNECTIONS, ROUND_TRIPS, DOWNLOADS, UPLOADS, MODES };

struct options {
    enum mode mode;
    unsigned long port;
    unsigned long count;      /* connections, or round trips over all connections together */
    unsigned long concurrent; /* connections at a time */
    unsigned long names;      /* the number of server names, used in turn */
    unsigned long bytes;      /* for each connection, of a bulk transfer */
    unsigned long rate;       /* connections or round trips begun in a second; 0 begins one when another has ended */
    unsigned long seconds;    /* the time limit of the whole run */
};

extern const char *const mode_names[MODES];

/* Exits with a message if the arguments are wrong. */
struct options read_options(int argc, char **argv);

#endif
