/*
 * What a lock covers: a path of segments, "message/42". "*" is the whole system, the empty path.
 *
 * Two paths conflict when they are equal or one is a prefix of the other. Paths that begin with "$"
 * are latchkey's own: "$definitions", "$definitions/NAME" (prefix rules among themselves) and the
 * flat "$instance/ID" and "$key/WORKFLOW/KEY" (equal or nothing). "*" is an ancestor of none of
 * them.
 *
 * Text form: segments joined by "/". In a segment the bytes 00-1F, 7F, "%", "/", "*" and a "$" that
 * begins the path are written "%XX", upper-case hex. Canonical: equal paths have equal texts, and
 * only a byte that needs it is encoded. This file is pure: no database, no clock.
 */
#pragma once
#include "fault.h"

#include <stdint.h>

struct lock_path;

enum {
    LOCK_PATH_SEGMENTS_MAX = 8,
    LOCK_SEGMENT_BYTES_MAX = 255, /* before encoding */
};

/* One segment before encoding. */
struct lock_segment {
    const char *bytes;
    size_t n_bytes;
};

/* Builds a user's path from unencoded segments (0 segments = the whole system). Segments are
 * copied. *out is yours to free. Fails with FAULT_INVALID, "segment 2 is ...": empty, too long, not
 * UTF-8 (overlong forms and surrogates are not); or too many. */
MUST_CHECK bool lock_path_new(const struct lock_segment *segments, int n_segments,
                              struct lock_path **out, struct fault *fault);

/* Builds one of latchkey's own: root is "definitions" (0 or 1 segments), "instance" (1) or
 * "key" (2). */
MUST_CHECK bool lock_path_new_own(const char *root, const struct lock_segment *segments,
                                  int n_segments, struct lock_path **out, struct fault *fault);

/* Parses the canonical text form, own paths included.
 * Fails with FAULT_INVALID and the offset, from 0, of the first bad byte. */
MUST_CHECK bool lock_path_parse(const char *text, struct lock_path **out, struct fault *fault);
void lock_path_free(struct lock_path *path);

const char *lock_path_text(const struct lock_path *path); /* borrowed */
int lock_path_n_segments(const struct lock_path *path); /* "$definitions" is a segment, "*" none */

/* Bytes of lock_path_text that the first n_segments take (0 for 0 segments, which means "*"). */
size_t lock_path_prefix_bytes(const struct lock_path *path, int n_segments);

/* True for the paths that begin with "$". */
bool lock_path_is_own(const struct lock_path *path);

/* True for "$instance/..." and "$key/...": they lock no prefixes. */
bool lock_path_is_flat(const struct lock_path *path);

/* The prefixes that are locked shared are those of lock_path_first_shared(path) segments and more,
 * up to one segment fewer than the path has: all proper prefixes of a user's path ("*" among them),
 * "$definitions" alone for "$definitions/NAME", none for a flat path. */
int lock_path_first_shared(const struct lock_path *path);

bool lock_path_conflicts(const struct lock_path *a, const struct lock_path *b);

/* True if a is an ancestor of b or equal to it: holding a exclusively covers b. */
bool lock_path_covers(const struct lock_path *a, const struct lock_path *b);

/* The same for two canonical texts. */
bool lock_path_text_covers(const char *a, const char *b);

/* The one total order in which locks are taken: segment by segment, by the bytes of the encoded
 * segments, an ancestor before its descendants. <0, 0, >0. Never compare whole texts: "-" sorts
 * before "/", so {a-b, a/1} and {a, a-b} would deadlock. */
int lock_path_compare(const struct lock_path *a, const struct lock_path *b);

/* The 64-bit advisory key: first 8 bytes, big-endian, of SHA-256(name_space || 0x00 || text).
 * The same as SQL's lock_key(text) in the schema called name_space. */
int64_t lock_key(const char *name_space, const char *text, size_t text_bytes);
