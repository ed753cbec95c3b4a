#include "spelling.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum {
    LENGTH_MAX = 64, /* longer ones are nobody's misspelling */
    FAR = 1000,
};

/* Lower case, without `-` and `_`, so that lockContext is lock_context is lock-context. */
static int plain_form(const char *text, char out[LENGTH_MAX + 1])
{
    int n = 0;
    for (; *text; text++) {
        if (*text == '-' || *text == '_')
            continue;
        if (n == LENGTH_MAX)
            return -1;
        out[n++] = (char)tolower((unsigned char)*text);
    }
    out[n] = '\0';
    return n;
}

static int least(int a, int b, int c)
{
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Edits between two texts: insert, delete, replace, or swap two neighbours. */
static int edits(const char *a, int n_a, const char *b, int n_b)
{
    int rows[3][LENGTH_MAX + 1];
    for (int j = 0; j <= n_b; j++)
        rows[0][j] = j;
    for (int i = 1; i <= n_a; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3];
        const int *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= n_b; j++) {
            int replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < row[j])
                row[j] = two_above[j - 2] + 1;
        }
    }
    return rows[n_a % 3][n_b];
}

static int distance(const char *written, const char *name)
{
    char a[LENGTH_MAX + 1];
    char b[LENGTH_MAX + 1];
    int n_a = plain_form(written, a);
    int n_b = plain_form(name, b);
    if (n_a <= 0 || n_b <= 0)
        return FAR;
    int found = edits(a, n_a, b, n_b);
    int shorter = n_a < n_b ? n_a : n_b;
    int allowed = shorter >= 8 ? 3 : shorter >= 5 ? 2 : 1;
    if (found <= allowed && found < shorter)
        return found;
    /* "int" for "integer": an abbreviation, less likely than any misspelling. */
    if (n_a >= 3 && n_a < n_b && strncmp(a, b, (size_t)n_a) == 0)
        return FAR - 1 - n_a;
    return FAR;
}

void spelling_consider(struct spelling *spelling, const char *written, const char *name)
{
    int found = distance(written, name);
    if (found < FAR && (!spelling->nearest || found < spelling->distance)) {
        spelling->nearest = name;
        spelling->distance = found;
    }
}

const char *spelling_nearest(const char *written, const char *const *names)
{
    struct spelling spelling = {0};
    for (; *names; names++)
        spelling_consider(&spelling, written, *names);
    return spelling.nearest;
}
