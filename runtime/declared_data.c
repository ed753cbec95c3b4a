#include "declared_data.h"

#include "execution_names.h"
#include "number_text.h"
#include "runtime_state.h"

enum {
    ORDER_BYTES_MAX = 16 << 10,
};

/* A key that gives no value is the definition's mistake, but for memory. */
static void tell_as_invalid(struct fault *fault)
{
    if (fault->kind != FAULT_EXHAUSTED)
        fault->kind = FAULT_INVALID;
}

static bool fits(int64_t value, enum column_kind kind)
{
    switch (kind) {
    case COLUMN_INT2: return value >= INT16_MIN && value <= INT16_MAX;
    case COLUMN_INT4: return value >= INT32_MIN && value <= INT32_MAX;
    case COLUMN_INT8: return true;
    case COLUMN_FLOAT4:
    case COLUMN_FLOAT8:
    case COLUMN_BOOLEAN:
    case COLUMN_TEXT:
    case COLUMN_NUMERIC:
    case COLUMN_JSON:
    case COLUMN_TIMESTAMP:
    case COLUMN_OTHER: return false;
    }
    return false;
}

/* An integer of the input as the key of an integer column: what Lua would make of it. */
static bool plain_key(const struct execution *execution, const struct data_plan *plan, int k,
                      char *buffer)
{
    const struct plain_input *plain = &plan->plain[k];
    if (plain->n_terms != 1 || plain->is_list)
        return false;
    const json_t *value = plain_input_field(&plain->terms[0], execution->input);
    if (!json_is_integer(value) ||
        !fits(json_integer_value(value), plan->table->columns[plan->columns[k]].kind))
        return false;
    *number_text_int(buffer, json_integer_value(value)) = '\0';
    return true;
}

/* The names are there once something asks for them. */
static struct scope *enter(const struct execution *execution, struct scope **scope)
{
    if (!*scope)
        *scope = execution_names_enter(execution, execution_names_push);
    return *scope;
}

/* Evaluates the value of one key column as text. */
static bool key_text(const struct execution *execution, const struct data_plan *plan, int k,
                     struct scope **scope, struct region *region, const char **out,
                     struct fault *fault)
{
    const struct data_declaration *declaration = plan->declaration;
    const struct column *column = &plan->table->columns[plan->columns[k]];
    lua_State *L = sandbox_lua(execution->runtime->sandbox);
    char *buffer = region_take(region, CELL_BUFFER_BYTES);
    struct cell cell;
    if (!buffer)
        return fault_no_memory(fault);
    *out = buffer;
    if (plain_key(execution, plan, k, buffer))
        return true;
    if (!expression_evaluate(plan->values[k], enter(execution, scope), fault)) {
        tell_as_invalid(fault);
        return false;
    }
    bool ok = row_lua_to_cell(L, lua_gettop(L), column, region, &cell, fault);
    lua_pop(L, 1);
    if (ok && cell.kind == CELL_NULL)
        ok = fault_set(fault, FAULT_INVALID, "it is nil");
    if (!ok) {
        tell_as_invalid(fault);
        return fault_prefix(fault, "%s:%d: data.%s, key %s", execution->workflow->definition->file,
                            declaration->keys[k].value.line, declaration->name, column->name);
    }
    *out = cell_write(&cell, buffer);
    return true;
}

/* The slot of one declaration, -1 with *fault. */
static int want_one(const struct execution *execution, const struct data_plan *plan,
                    struct scope **scope, struct region *region, struct batch_rows *rows,
                    struct fault *fault)
{
    const struct data_declaration *declaration = plan->declaration;
    const char *values[PG_PARAMS_MAX] = {NULL};
    struct text order;
    for (int k = 0; k < declaration->n_keys; k++)
        if (!key_text(execution, plan, k, scope, region, &values[k], fault))
            return -1;
    text_init(&order, ORDER_BYTES_MAX);
    for (int o = 0; o < declaration->n_order_by; o++)
        text_addf(&order, "%st.%s%s", o ? ", " : "",
                  table_column(plan->table, declaration->order_by[o].column)->quoted,
                  declaration->order_by[o].descending ? " DESC" : "");
    int slot = batch_rows_want(rows, plan->table, plan->columns, declaration->n_keys, values,
                               text_chars(&order), fault);
    text_done(&order);
    return slot;
}

bool declared_data_want(const struct execution *execution, struct region *region,
                        struct batch_rows *rows, int **slots, struct fault *fault)
{
    const struct workflow *workflow = execution->workflow;
    int n_data = workflow->definition->n_data;
    bool ok = true;
    if (n_data == 0)
        return true;
    *slots = region_take(region, (size_t)n_data * sizeof **slots);
    if (!*slots)
        return fault_no_memory(fault);
    struct scope *scope = NULL;
    for (int i = 0; ok && i < n_data; i++) {
        (*slots)[i] = want_one(execution, &workflow->data[i], &scope, region, rows, fault);
        ok = (*slots)[i] >= 0;
    }
    if (scope)
        execution_names_leave(execution);
    return ok;
}

bool declared_data_bind(const struct execution *execution, struct script *script,
                        const struct batch_rows *rows, const int *slots, struct fault *fault)
{
    const struct workflow *workflow = execution->workflow;
    for (int i = 0; i < workflow->definition->n_data; i++) {
        const struct data_plan *plan = &workflow->data[i];
        const struct data_declaration *declaration = plan->declaration;
        if (!declaration->list && declaration->required && batch_rows_n_found(rows, slots[i]) == 0)
            return fault_set(fault, FAULT_MISSING, "%s:%d: data.%s: no such row in table %s",
                             workflow->definition->file, declaration->line, declaration->name,
                             declaration->table);
        if (!script_bind(script, plan, slots[i], fault))
            return false;
    }
    return true;
}
