/* The low-level SHA-256 is deprecated in OpenSSL 3 in favour of EVP, which takes memory for every
 * digest and so can fail. A key cannot: a wrong one would let two holders in. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "lock_path.h"

#include "utf8.h"

#include <assert.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

struct lock_path {
    bool own;
    bool flat;
    int n_segments;
    uint16_t ends[LOCK_PATH_SEGMENTS_MAX]; /* where each segment ends in text */
    char text[];
};

/* Latchkey's own paths. */
static const struct own_root {
    const char *text; /* the first segment */
    int segments_min; /* of the whole path */
    int segments_max;
    bool flat;
} own_roots[] = {
    {"$definitions", 1, 2, false},
    {"$instance", 2, 2, true},
    {"$key", 3, 3, true},
};

enum {
    N_OWN_ROOTS = sizeof own_roots / sizeof own_roots[0],
    /* The longest text: every byte of every segment encoded, and the separators. */
    TEXT_BYTES_MAX = LOCK_PATH_SEGMENTS_MAX * (LOCK_SEGMENT_BYTES_MAX * 3 + 1),
};

static_assert(TEXT_BYTES_MAX <= UINT16_MAX, "lock_path.ends holds every offset");

static const struct own_root *find_own_root(const char *bytes, size_t n_bytes)
{
    for (int i = 0; i < N_OWN_ROOTS; i++)
        if (strlen(own_roots[i].text) == n_bytes && memcmp(own_roots[i].text, bytes, n_bytes) == 0)
            return &own_roots[i];
    return NULL;
}

static bool needs_encoding(unsigned char byte, bool begins_path)
{
    return byte < 0x20 || byte == 0x7F || byte == '%' || byte == '/' || byte == '*' ||
           (byte == '$' && begins_path);
}

static bool check_segment(struct lock_segment segment, int number, struct fault *fault)
{
    if (segment.n_bytes == 0)
        return fault_set(fault, FAULT_INVALID, "segment %d is empty", number);
    if (segment.n_bytes > LOCK_SEGMENT_BYTES_MAX)
        return fault_set(fault, FAULT_INVALID, "segment %d is longer than %d bytes", number,
                         LOCK_SEGMENT_BYTES_MAX);
    const unsigned char *bytes = (const unsigned char *)segment.bytes;
    for (size_t i = 0, step; i < segment.n_bytes; i += step) {
        step = utf8_character((const char *)bytes + i, segment.n_bytes - i);
        if (step == 0)
            return fault_set(fault, FAULT_INVALID, "segment %d is not valid UTF-8", number);
    }
    return true;
}

/* Writes the encoded segment and returns its length. */
static size_t encode_segment(struct lock_segment segment, bool begins_path, char *to)
{
    static const char hex[] = "0123456789ABCDEF";
    char *end = to;
    for (size_t i = 0; i < segment.n_bytes; i++) {
        unsigned char byte = (unsigned char)segment.bytes[i];
        if (needs_encoding(byte, begins_path && i == 0)) {
            *end++ = '%';
            *end++ = hex[byte >> 4];
            *end++ = hex[byte & 15];
        } else {
            *end++ = (char)byte;
        }
    }
    return (size_t)(end - to);
}

/* Copies what was built on the stack into a block of its own size. */
static bool keep(const struct lock_path *head, const char *text, size_t n_bytes,
                 struct lock_path **out, struct fault *fault)
{
    struct lock_path *path = malloc(sizeof *path + n_bytes + 1);
    if (!path)
        return fault_no_memory(fault);
    *path = *head;
    memcpy(path->text, text, n_bytes);
    path->text[n_bytes] = '\0';
    *out = path;
    return true;
}

static bool build(const struct own_root *own, const struct lock_segment *segments, int n_segments,
                  struct lock_path **out, struct fault *fault)
{
    struct lock_path head = {.own = own != NULL, .flat = own && own->flat};
    char text[TEXT_BYTES_MAX];
    size_t n_bytes = 0;
    if (own) {
        n_bytes = strlen(own->text);
        memcpy(text, own->text, n_bytes);
        head.ends[head.n_segments++] = (uint16_t)n_bytes;
    }
    for (int i = 0; i < n_segments; i++) {
        if (!check_segment(segments[i], i + 1, fault))
            return false;
        if (head.n_segments > 0)
            text[n_bytes++] = '/';
        n_bytes += encode_segment(segments[i], head.n_segments == 0, text + n_bytes);
        head.ends[head.n_segments++] = (uint16_t)n_bytes;
    }
    if (head.n_segments == 0)
        text[n_bytes++] = '*';
    return keep(&head, text, n_bytes, out, fault);
}

bool lock_path_new(const struct lock_segment *segments, int n_segments, struct lock_path **out,
                   struct fault *fault)
{
    if (n_segments > LOCK_PATH_SEGMENTS_MAX)
        return fault_set(fault, FAULT_INVALID, "a path of more than %d segments",
                         LOCK_PATH_SEGMENTS_MAX);
    return build(NULL, segments, n_segments, out, fault);
}

bool lock_path_new_own(const char *root, const struct lock_segment *segments, int n_segments,
                       struct lock_path **out, struct fault *fault)
{
    for (int i = 0; i < N_OWN_ROOTS; i++) {
        const struct own_root *own = &own_roots[i];
        if (strcmp(own->text + 1, root) != 0)
            continue;
        if (n_segments + 1 < own->segments_min || n_segments + 1 > own->segments_max)
            return fault_set(fault, FAULT_INVALID, "%s takes another number of segments than %d",
                             own->text, n_segments);
        return build(own, segments, n_segments, out, fault);
    }
    return fault_set(fault, FAULT_INVALID, "latchkey has no own path \"$%s\"", root);
}

static bool bad_byte(const char *text, const char *at, const char *why, struct fault *fault)
{
    return fault_set(fault, FAULT_INVALID, "not a canonical path: byte %td: %s", at - text, why);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads one segment of a canonical text up to its "/" or the end; NULL if it is not canonical. */
static const char *parse_segment(const char *text, const char *segment, struct fault *fault)
{
    const char *end = segment + strlen(segment);
    const char *at = segment;
    int n_bytes = 0;
    while (*at && *at != '/') {
        size_t step = 1;
        if (*at == '%') {
            int high = hex_digit(at[1]);
            int low = high < 0 ? -1 : hex_digit(at[2]);
            if (low < 0 || !needs_encoding((unsigned char)(high << 4 | low), at == text)) {
                bad_byte(text, at, "no byte that is encoded so", fault);
                return NULL;
            }
            at += 2;
        } else if (needs_encoding((unsigned char)*at, at == text)) {
            bad_byte(text, at, "a byte that must be encoded", fault);
            return NULL;
        } else {
            step = utf8_character((const char *)at, (size_t)(end - at));
        }
        if (step == 0) {
            bad_byte(text, at, "not UTF-8", fault);
            return NULL;
        }
        at += step;
        n_bytes += (int)step;
        if (n_bytes > LOCK_SEGMENT_BYTES_MAX) {
            bad_byte(text, at, "a segment of more than 255 bytes", fault);
            return NULL;
        }
    }
    if (n_bytes == 0) {
        bad_byte(text, at, "an empty segment", fault);
        return NULL;
    }
    return at;
}

bool lock_path_parse(const char *text, struct lock_path **out, struct fault *fault)
{
    struct lock_path head = {0};
    if (strcmp(text, "*") == 0)
        return keep(&head, text, 1, out, fault);

    const struct own_root *own = NULL;
    int segments_max = LOCK_PATH_SEGMENTS_MAX;
    const char *at = text;
    if (*text == '$') {
        at = text + strcspn(text, "/");
        own = find_own_root(text, (size_t)(at - text));
        if (!own)
            return bad_byte(text, text, "none of latchkey's own paths", fault);
        segments_max = own->segments_max;
        head.ends[head.n_segments++] = (uint16_t)(at - text);
    }
    while (head.n_segments == 0 || *at) {
        if (head.n_segments == segments_max)
            return bad_byte(text, at, "too many segments", fault);
        at = parse_segment(text, head.n_segments == 0 ? at : at + 1, fault);
        if (!at)
            return false;
        head.ends[head.n_segments++] = (uint16_t)(at - text);
    }
    if (own && head.n_segments < own->segments_min)
        return bad_byte(text, at, "a segment is missing", fault);
    head.own = own != NULL;
    head.flat = own && own->flat;
    return keep(&head, text, (size_t)(at - text), out, fault);
}

void lock_path_free(struct lock_path *path)
{
    free(path);
}

const char *lock_path_text(const struct lock_path *path)
{
    return path->text;
}

int lock_path_n_segments(const struct lock_path *path)
{
    return path->n_segments;
}

size_t lock_path_prefix_bytes(const struct lock_path *path, int n_segments)
{
    assert(n_segments >= 0 && n_segments <= path->n_segments);
    return n_segments == 0 ? 0 : path->ends[n_segments - 1];
}

bool lock_path_is_own(const struct lock_path *path)
{
    return path->own;
}

bool lock_path_is_flat(const struct lock_path *path)
{
    return path->flat;
}

int lock_path_first_shared(const struct lock_path *path)
{
    if (path->flat)
        return path->n_segments;
    return path->own ? 1 : 0;
}

bool lock_path_text_covers(const char *a, const char *b)
{
    if (strcmp(a, "*") == 0)
        return b[0] != '$';
    size_t n_bytes = strlen(a);
    return strncmp(a, b, n_bytes) == 0 && (b[n_bytes] == '\0' || b[n_bytes] == '/');
}

bool lock_path_covers(const struct lock_path *a, const struct lock_path *b)
{
    return lock_path_text_covers(a->text, b->text);
}

bool lock_path_conflicts(const struct lock_path *a, const struct lock_path *b)
{
    return lock_path_covers(a, b) || lock_path_covers(b, a);
}

int lock_path_compare(const struct lock_path *a, const struct lock_path *b)
{
    int n_common = a->n_segments < b->n_segments ? a->n_segments : b->n_segments;
    size_t begin_a = 0, begin_b = 0;
    for (int i = 0; i < n_common; i++) {
        size_t bytes_a = a->ends[i] - begin_a;
        size_t bytes_b = b->ends[i] - begin_b;
        size_t n_bytes = bytes_a < bytes_b ? bytes_a : bytes_b;
        int order = memcmp(a->text + begin_a, b->text + begin_b, n_bytes);
        if (order == 0)
            order = (bytes_a > bytes_b) - (bytes_a < bytes_b);
        if (order != 0)
            return order;
        begin_a = a->ends[i] + 1u;
        begin_b = b->ends[i] + 1u;
    }
    return (a->n_segments > b->n_segments) - (a->n_segments < b->n_segments);
}

int64_t lock_key(const char *name_space, const char *text, size_t text_bytes)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX hash;
    SHA256_Init(&hash);
    SHA256_Update(&hash, name_space, strlen(name_space) + 1); /* its NUL is the separator */
    SHA256_Update(&hash, text, text_bytes);
    SHA256_Final(digest, &hash);
    uint64_t key = 0;
    for (int i = 0; i < 8; i++)
        key = key << 8 | digest[i];
    return (int64_t)key;
}
