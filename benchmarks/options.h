/* What the load generator is asked to do. */
#ifndef OPTIONS_H
#define OPTIONS_H

enum mode { CONNECTIONS, ROUND_TRIPS, DOWNLOADS, UPLOADS, MODES };

struct options {
    enum mode mode;
    unsigned long port;
    unsigned long count;      /* connections, or round trips over all connections together */
    unsigned long concurrent; /* connections at a time */
    unsigned long names;      /* how many names are asked for in turn */
    unsigned long bytes;      /* for each connection, of a bulk transfer */
    unsigned long rate;       /* connections or round trips begun in a second; 0 begins one when another has ended */
    unsigned long seconds;    /* for everything */
};

extern const char *const mode_names[MODES];

/* Exits, with what is wrong, unless the arguments are good. */
struct options read_options(int argc, char **argv);

#endif
