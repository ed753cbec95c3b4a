#include "definition.h"

#include "spelling.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

void definition_free(struct definition *definition)
{
    if (!definition)
        return;
    region_done(&definition->memory);
    free(definition);
}

const struct activity *definition_activity(const struct definition *definition, const char *name)
{
    for (int i = 0; i < definition->n_activities; i++) {
        if (strcmp(definition->activities[i].name, name) == 0)
            return &definition->activities[i];
    }
    return NULL;
}

static const char *input_type_name(enum input_type type)
{
    switch (type) {
    case INPUT_STRING: return "string";
    case INPUT_INTEGER: return "integer";
    case INPUT_NUMBER: return "number";
    case INPUT_BOOLEAN: return "boolean";
    case INPUT_OBJECT: return "object";
    case INPUT_ARRAY: return "array";
    }
    return "";
}

/* A real that an int64 holds exactly. */
static bool is_integral(double value)
{
    return value >= -0x1p63 && value < 0x1p63 && (double)(int64_t)value == value;
}

static bool has_type(const json_t *value, enum input_type type)
{
    switch (type) {
    case INPUT_STRING: return json_is_string(value);
    case INPUT_INTEGER:
        return json_is_integer(value) ||
               (json_is_real(value) && is_integral(json_real_value(value)));
    case INPUT_NUMBER: return json_is_number(value);
    case INPUT_BOOLEAN: return json_is_boolean(value);
    case INPUT_OBJECT: return json_is_object(value);
    case INPUT_ARRAY: return json_is_array(value);
    }
    return false;
}

/* At most n_max bytes of a text, and whole characters. */
static int shown_bytes(const char *text, int n_max)
{
    int n = (int)strnlen(text, (size_t)n_max + 1);
    if (n <= n_max)
        return n;
    while (n_max > 0 && ((unsigned char)text[n_max] & 0xC0) == 0x80)
        n_max--;
    return n_max;
}

/* `string "x"`, `integer 5`, `array`: what came instead. */
static void describe(const json_t *value, struct text *out)
{
    enum {
        SHOWN_BYTES = 60,
    };
    switch (json_typeof(value)) {
    case JSON_STRING: {
        const char *text = json_string_value(value);
        int n = shown_bytes(text, SHOWN_BYTES);
        text_addf(out, "string \"%.*s%s\"", n, text, text[n] ? "..." : "");
        break;
    }
    case JSON_INTEGER:
        text_addf(out, "integer %" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL: text_addf(out, "number %.17g", json_real_value(value)); break;
    case JSON_TRUE: text_add_chars(out, "boolean true"); break;
    case JSON_FALSE: text_add_chars(out, "boolean false"); break;
    case JSON_OBJECT: text_add_chars(out, "object"); break;
    case JSON_ARRAY: text_add_chars(out, "array"); break;
    case JSON_NULL: text_add_chars(out, "null"); break;
    }
}

static bool wrong_type(const char *where, const char *expected, const json_t *value,
                       struct fault *fault)
{
    struct text got;
    text_init(&got, FAULT_TEXT_BYTES);
    describe(value, &got);
    fault_set(fault, FAULT_INVALID, "%s: expected %s, got %s", where, expected, text_chars(&got));
    text_done(&got);
    return false;
}

static bool check_field(const struct input_field *field, const json_t *input, struct fault *fault)
{
    const json_t *value = json_object_get(input, field->name);
    if (!value) {
        if (field->optional)
            return true;
        return fault_set(fault, FAULT_INVALID, "input.%s: expected %s, but it is missing",
                         field->name, input_type_name(field->type));
    }
    if (field->optional && json_is_null(value))
        return true;
    if (has_type(value, field->type))
        return true;
    char where[128];
    snprintf(where, sizeof where, "input.%s", field->name);
    return wrong_type(where, input_type_name(field->type), value, fault);
}

static bool check_declared(const struct definition *definition, const char *name,
                           struct fault *fault)
{
    struct spelling spelling = {0};
    for (int i = 0; i < definition->n_inputs; i++) {
        if (strcmp(definition->inputs[i].name, name) == 0)
            return true;
        spelling_consider(&spelling, name, definition->inputs[i].name);
    }
    int n = shown_bytes(name, 100);
    if (spelling.nearest)
        return fault_set(fault, FAULT_INVALID,
                         "input.%.*s: the workflow takes no such input: did you mean `%s`?", n,
                         name, spelling.nearest);
    return fault_set(fault, FAULT_INVALID, "input.%.*s: the workflow takes no such input", n, name);
}

/* Unknown names first: a misspelt name says more than the name that is missing for it. */
bool definition_check_input(const struct definition *definition, const json_t *input,
                            struct fault *fault)
{
    if (input && !json_is_object(input))
        return wrong_type("input", "object", input, fault);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)input, name, value)
    {
        if (!check_declared(definition, name, fault))
            return false;
    }
    for (int i = 0; i < definition->n_inputs; i++) {
        if (!check_field(&definition->inputs[i], input, fault))
            return false;
    }
    return true;
}
