#include "crowding.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    LOOK_US = 50 * 1000,
    RAN_LEAST_NS = 5 * 1000 * 1000, /* a shorter run says nothing */
    /* Of a start, which takes 1 to 4 ms, one host waited 20 to 80 hundredths, two 80 to 560 and
     * four 100 to 570: what is known before the first batch spares sessions that nobody needs. One
     * host in twenty errs, so the next look decides anew. */
    RAN_LEAST_FIRST_NS = 1000 * 1000,
    STAY_US = 1000 * 1000, /* what is done against it makes it less: it does not end at once */
    COUNTS_BYTES = 100,
    /* Hundredths of a wait for each run. On two processors one host waited 10 to 90, two 180 to
     * 240, four 250 to 560; with one batch at a time 40 to 160 and 200 to 450. */
    CROWDED_FROM = 150,
    CROWDED_TO = 50,
};

static bool read_counts(const struct crowding *crowding, uint64_t *ran_ns, uint64_t *waited_ns)
{
    char text[COUNTS_BYTES], *end;
    ssize_t n = crowding->fd < 0 ? -1 : pread(crowding->fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    *ran_ns = strtoull(text, &end, 10);
    *waited_ns = strtoull(end, NULL, 10);
    return true;
}

void crowding_open(struct crowding *crowding, const char *path)
{
    *crowding = (struct crowding){
        .fd = open(path ? path : "/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)};
    if (!read_counts(crowding, &crowding->ran_ns, &crowding->waited_ns))
        crowding_close(crowding);
}

void crowding_close(struct crowding *crowding)
{
    if (crowding->fd >= 0)
        close(crowding->fd);
    crowding->fd = -1;
}

bool crowding_is(struct crowding *crowding, int64_t now_us)
{
    uint64_t ran_ns, waited_ns;
    uint64_t least_ns = crowding->looked_us ? RAN_LEAST_NS : RAN_LEAST_FIRST_NS;
    if (now_us - crowding->looked_us < LOOK_US)
        return crowding->crowded;
    crowding->looked_us = now_us;
    if (!read_counts(crowding, &ran_ns, &waited_ns) || ran_ns < crowding->ran_ns + least_ns)
        return crowding->crowded;
    uint64_t waited_hundredths =
        (waited_ns - crowding->waited_ns) * 100 / (ran_ns - crowding->ran_ns);
    bool brief = ran_ns < crowding->ran_ns + RAN_LEAST_NS;
    crowding->ran_ns = ran_ns;
    crowding->waited_ns = waited_ns;
    if (waited_hundredths >= CROWDED_FROM) {
        crowding->crowded = true;
        crowding->until_us = brief ? 0 : now_us + STAY_US;
    } else if (!crowding->until_us ||
               (waited_hundredths < CROWDED_TO && now_us >= crowding->until_us)) {
        crowding->crowded = false;
    }
    return crowding->crowded;
}
