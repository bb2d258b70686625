#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hello.h"

const char *const mode_names[MODES] = {"connections", "round-trips", "download", "upload"};

static void usage(void)
{
    fprintf(stderr, "usage: load connections|round-trips|download|upload --port P [--count N] [--concurrent N]\n"
                    "            [--names N] [--bytes N] [--rate N] [--seconds N]\n");
    exit(2);
}

static unsigned long number(const char *text, unsigned long most)
{
    char *rest;
    unsigned long value = strtoul(text, &rest, 10);
    if (!*text || *rest || value < 1 || value > most) {
        fprintf(stderr, "%s: not a number from 1 to %lu\n", text, most);
        exit(2);
    }
    return value;
}

struct options read_options(int argc, char **argv)
{
    struct options options = {.count = 1000, .concurrent = 16, .names = 1, .bytes = 1 << 20, .seconds = 60};
    const struct {
        const char *name;
        unsigned long *value, most;
    } known[] = {
        {"port", &options.port, 65535},
        {"count", &options.count, 10000000},
        {"concurrent", &options.concurrent, 30000},
        {"names", &options.names, NAME_COUNT_LIMIT},
        {"bytes", &options.bytes, 1ul << 40},
        {"rate", &options.rate, 1000000},
        {"seconds", &options.seconds, 3600},
    };
    enum { KNOWN = sizeof known / sizeof *known };
    struct option names[KNOWN + 1] = {0};
    int chosen, mode = 0;

    for (int i = 0; i < KNOWN; i++)
        names[i] = (struct option){known[i].name, required_argument, NULL, i};
    while ((chosen = getopt_long(argc, argv, "", names, NULL)) >= 0 && chosen < KNOWN)
        *known[chosen].value = number(optarg, known[chosen].most);
    if (chosen >= 0 || optind != argc - 1 || !options.port)
        usage();
    while (mode < MODES && strcmp(argv[optind], mode_names[mode]))
        mode++;
    if (mode == MODES)
        usage();
    options.mode = (enum mode)mode;
    return options;
}
