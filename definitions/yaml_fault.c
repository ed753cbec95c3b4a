#include "yaml_fault.h"

#include <string.h>

/* libyaml's words, found in what it was doing (context) and what stopped it (problem). The first
 * row that fits counts. */
struct yaml_words {
    const char *context; /* NULL = any */
    const char *problem; /* NULL = any */
    bool at_context;     /* the place to show is where the thing began */
    const char *words;
};

static const struct yaml_words words_table[] = {
    {NULL, "found a tab character", false, "a tab cannot indent in YAML: use spaces"},
    {"quoted scalar", "unexpected end of stream", true, "this quote is never closed"},
    {"quoted scalar", "unexpected document indicator", true, "this quote is never closed"},
    {"quoted scalar", "unknown escape character", false,
     "in double quotes a backslash begins an escape, and this is none: write `\\\\`, or use single "
     "quotes"},
    {"quoted scalar", "hexdecimal number", false, "an escape needs hexadecimal digits"},
    {"quoted scalar", "Unicode character escape", false,
     "this escape is half of a surrogate pair, or no character"},
    {"alias", NULL, false, "a value that begins with `*` is an alias, which is refused: quote it"},
    {"anchor", NULL, false,
     "a value that begins with `&` is an anchor, which is refused: quote it"},
    {"scanning a tag", NULL, false,
     "a value that begins with `!` is a tag, which is refused: quote it"},
    {"parsing a tag", NULL, false,
     "a value that begins with `!` is a tag, which is refused: quote it"},
    {"parsing a node", "undefined tag handle", false,
     "a value that begins with `!` is a tag, which is refused: quote it"},
    {"directive", NULL, false, "a line that begins with `%` is a directive: quote it"},
    {NULL, "cannot start any token", false,
     "a value cannot begin with this character: quote the whole value, or use `|`"},
    {NULL, "mapping values are not allowed", false,
     "`:` cannot stand here: look at the indentation and for a `:` missing above, or quote a text "
     "that holds `: `"},
    {NULL, "expected ':'", true, "this line is no `key: value`"},
    {"block mapping", "expected key", false,
     "a key should stand here: the indentation differs from the lines above, or text follows a "
     "quoted value (quote the whole value, or use `|`)"},
    {"block collection", NULL, false,
     "`- ` should stand here: the indentation differs from the lines above"},
    {NULL, "block sequence entries are not allowed", false,
     "a list cannot begin here: put `- ` on a line of its own"},
    {NULL, "document start", false, "there is text after the end of the document"},
    {"block scalar", "indentation", false, "`|` and `>` stand alone on their line"},
    {"block scalar", "comment or line break", false,
     "the text after `|` or `>` begins on the next line"},
};

static bool fits(const char *needle, const char *text)
{
    return !needle || (text && strstr(text, needle));
}

static const struct yaml_words *find_words(const yaml_parser_t *parser)
{
    for (size_t i = 0; i < sizeof words_table / sizeof *words_table; i++) {
        if (fits(words_table[i].context, parser->context) &&
            fits(words_table[i].problem, parser->problem))
            return &words_table[i];
    }
    return NULL;
}

/* The bytes that begin a line, from 0, of the text. */
static const char *line_start(const struct yaml_source *source, size_t line)
{
    const char *at = source->bytes;
    const char *end = source->bytes + source->n_bytes;
    while (line > 0 && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            return end;
        at = newline + 1;
        line--;
    }
    return at;
}

/* The column, from 1, of a tab that indents a line, 0 if none does. */
static int indenting_tab(const struct yaml_source *source, size_t line)
{
    const char *start = line_start(source, line);
    const char *end = source->bytes + source->n_bytes;
    for (const char *at = start; at < end && (*at == ' ' || *at == '\t'); at++) {
        if (*at == '\t')
            return (int)(at - start) + 1;
    }
    return 0;
}

static void add(const struct yaml_source *source, yaml_mark_t mark, struct problems *problems,
                const char *words)
{
    problems_add(problems, PROBLEM_ERROR, (int)mark.line + 1,
                 yaml_source_column(source, mark.line, mark.column), "%s", words);
}

/* Braces and brackets that do not close are most often Lua without quotes. */
static bool report_flow(const yaml_parser_t *parser, const struct yaml_source *source,
                        struct problems *problems)
{
    bool mapping = fits("flow mapping", parser->context);
    if (!parser->context || (!mapping && !fits("flow sequence", parser->context)))
        return false;
    yaml_mark_t mark = parser->problem_mark;
    problems_add(problems, PROBLEM_ERROR, (int)mark.line + 1,
                 yaml_source_column(source, mark.line, mark.column),
                 "`,` or `%c` should stand here, after the `%c` on line %d; if that is Lua, quote "
                 "the whole of it, or use `|`",
                 mapping ? '}' : ']', mapping ? '{' : '[', (int)parser->context_mark.line + 1);
    return true;
}

void yaml_fault_report(const yaml_parser_t *parser, const struct yaml_source *source,
                       struct problems *problems)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        problems_no_memory(problems);
        return;
    }
    int tab = indenting_tab(source, parser->problem_mark.line);
    if (tab > 0) {
        problems_add(problems, PROBLEM_ERROR, (int)parser->problem_mark.line + 1, tab,
                     "a tab cannot indent in YAML: use spaces");
        return;
    }
    if (report_flow(parser, source, problems))
        return;
    const struct yaml_words *found = find_words(parser);
    if (found)
        add(source, found->at_context ? parser->context_mark : parser->problem_mark, problems,
            found->words);
    else
        add(source, parser->problem_mark, problems,
            parser->problem ? parser->problem : "this is no YAML");
}
