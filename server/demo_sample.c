#include "demo_sample.h"

#include "demo_two_hosts.h"
#include "spelling.h"
#include "text.h"

#include <string.h>

enum {
    NAMES_BYTES_MAX = 1024,
};

static const struct demo_variant message_read[] = {
    {"unlocked.yaml", "no lock", 1000, false},
    {"system-wide.yaml", "one lock for all", 200, true},
    {"lock-context.yaml", "a lock per message", 1000, true},
    {"message-read.yaml", "the same, no delay", 5000, true},
    {.file = NULL},
};

static const struct demo_variant invoice_payment[] = {
    {"unlocked.yaml", "a guard, no lock", 100, false},
    {"invoice-payment.yaml", "a lock per invoice", 100, true},
    {"try-once.yaml", "the same, no waiting", 100, true},
    {.file = NULL},
};

static const struct demo_variant package_latest[] = {
    {"unlocked.yaml", "no lock", 200, false},
    {"upload.yaml", "a lock per package", 200, true},
    {.file = NULL},
};

const struct demo_sample demo_samples[] = {
    {
        .name = "message-read",
        .words = "Readers of 10 messages, by 4 host processes. Each loads a message's counter, "
                 "adds one and\n"
                 "saves it; in the first three it takes 5 ms over that.",
        .n_hosts = 4,
        .concurrency = 64,
        .vary = "message_id=1..10",
        .reset = "UPDATE message SET read = 0 WHERE read <> 0",
        .counter_name = "counter",
        .counter = "SELECT coalesce(sum(read), 0)::bigint FROM message",
        .wrong_name = "lost",
        .wrong = "SELECT $1::bigint - coalesce(sum(read), 0)::bigint FROM message",
        .variants = message_read,
    },
    {
        .name = "invoice-payment",
        .words = "100 callers pay one invoice at the same moment, by 20 host processes. Each sees "
                 "whether the\n"
                 "invoice is open, takes 20 ms, inserts a payment and sets the invoice to paid.",
        .n_hosts = 20,
        .concurrency = 100,
        .vary = "invoice_id=1..1",
        .reset = "DELETE FROM payment; UPDATE invoice SET status = 'open' WHERE id = 1",
        .turns_away = true,
        .counter_name = "payments",
        .counter = "SELECT count(*) FROM payment",
        .wrong_name = "too many",
        .wrong = "SELECT count(*) - 1 FROM payment WHERE $1::bigint IS NOT NULL",
        .variants = invoice_payment,
    },
    {
        .name = "package-latest",
        .words = "200 uploads of versions of 4 packages, by 4 host processes. Each finds out which "
                 "version of\n"
                 "its package is now the latest; after every commit that is checked.",
        .n_hosts = 4,
        .concurrency = 16,
        .inputs = "uploads.ndjson",
        .reset = "TRUNCATE package_version, package_checked",
        .counter_name = "checked",
        .counter = "SELECT count(*) FROM package_checked",
        .wrong_name = "wrong",
        .wrong = "SELECT count(*) FROM package_checked WHERE wrong <> '{}' AND $1::bigint >= 0",
        .variants = package_latest,
    },
    {
        .name = "two-hosts",
        .words = "Two hosts send messages to one workflow, each with an older picture of it than "
                 "is true.\n"
                 "Each step is a process of its own, which keeps nothing.",
        .play = demo_two_hosts_play,
    },
    {.name = NULL},
};

static void tell_names(const char *name, struct fault *fault)
{
    struct text names;
    text_init(&names, NAMES_BYTES_MAX);
    for (const struct demo_sample *sample = demo_samples; sample->name; sample++)
        text_addf(&names, "%s%s", names.length ? ", " : "", sample->name);
    fault_set(fault, FAULT_INVALID, "there is no demo '%s'; there are %s", name,
              text_chars(&names));
    text_done(&names);
}

const struct demo_sample *demo_sample_find(const char *name, struct fault *fault)
{
    struct spelling spelling = {0};
    for (const struct demo_sample *sample = demo_samples; sample->name; sample++) {
        if (strcmp(sample->name, name) == 0)
            return sample;
        spelling_consider(&spelling, name, sample->name);
    }
    if (spelling.nearest)
        fault_set(fault, FAULT_INVALID, "there is no demo '%s'; did you mean '%s'?", name,
                  spelling.nearest);
    else
        tell_names(name, fault);
    return NULL;
}
