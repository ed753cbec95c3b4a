#include "workflow.h"

#include "lock_context.h"
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

static bool compile_expression(struct sandbox *sandbox, const struct definition *definition,
                               const char *what, struct lua_source source, struct expression **out,
                               struct fault *fault)
{
    return !source.text || expression_compile(sandbox, definition->file, what, source, out, fault);
}

static bool compile_rules(struct sandbox *sandbox, const struct definition *definition,
                          const struct activity *activity, struct activity_plan *plan,
                          struct fault *fault)
{
    plan->rules = calloc((size_t)activity->n_navigation + 1, sizeof(struct expression *));
    if (!plan->rules)
        return fault_no_memory(fault);
    for (int i = 0; i < activity->n_navigation; i++)
        if (!compile_expression(sandbox, definition, "rule", activity->navigation[i].rule,
                                &plan->rules[i], fault))
            return false;
    return true;
}

static bool compile_activity(struct sandbox *sandbox, const struct definition *definition,
                             const struct activity *activity, struct activity_plan *plan,
                             struct fault *fault)
{
    plan->activity = activity;
    plan->needs_alone = !activity->auto_commit || activity->action;
    if (activity->lock_context.text &&
        !lock_context_compile(sandbox, definition->file, activity->lock_context,
                              &plan->lock_context, fault))
        return false;
    plain_input_read(activity->lock_context.text, &plan->plain_lock);
    if (!compile_expression(sandbox, definition, "guard", activity->guard, &plan->guard, fault))
        return false;
    if (!compile_rules(sandbox, definition, activity, plan, fault))
        return false;
    return !activity->script.text || chunk_compile(sandbox, definition->file, "script",
                                                   activity->script, &plan->script, fault);
}

static bool compile_data(struct sandbox *sandbox, const struct definition *definition,
                         const struct data_declaration *declaration, struct data_plan *plan,
                         struct fault *fault)
{
    size_t n_keys = (size_t)declaration->n_keys;
    plan->declaration = declaration;
    plan->values = calloc(n_keys + 1, sizeof *plan->values);
    plan->columns = calloc(n_keys + 1, sizeof *plan->columns);
    plan->plain = calloc(n_keys + 1, sizeof *plan->plain);
    if (!plan->values || !plan->columns || !plan->plain)
        return fault_no_memory(fault);
    for (int k = 0; k < declaration->n_keys; k++)
        plain_input_read(declaration->keys[k].value.text, &plan->plain[k]);
    for (int k = 0; k < declaration->n_keys; k++)
        if (!compile_expression(sandbox, definition, "key", declaration->keys[k].value,
                                &plan->values[k], fault))
            return false;
    return true;
}

static void free_plans(struct workflow *workflow, const struct definition *definition)
{
    for (int i = 0; workflow->activities && i < definition->n_activities; i++) {
        expression_free(workflow->activities[i].lock_context);
        expression_free(workflow->activities[i].guard);
        chunk_free(workflow->activities[i].script);
        for (int r = 0; workflow->activities[i].rules && r < definition->activities[i].n_navigation;
             r++)
            expression_free(workflow->activities[i].rules[r]);
        free(workflow->activities[i].rules);
    }
    for (int i = 0; workflow->data && i < definition->n_data; i++) {
        struct data_plan *plan = &workflow->data[i];
        for (int k = 0; plan->values && k < definition->data[i].n_keys; k++)
            expression_free(plan->values[k]);
        free(plan->values);
        free(plan->columns);
        free(plan->plain);
    }
}

static bool compile_all(struct workflow *workflow, struct sandbox *sandbox, struct fault *fault)
{
    const struct definition *definition = workflow->definition;
    workflow->activities =
        calloc((size_t)definition->n_activities + 1, sizeof *workflow->activities);
    workflow->data = calloc((size_t)definition->n_data + 1, sizeof *workflow->data);
    if (!workflow->activities || !workflow->data)
        return fault_no_memory(fault);
    for (int i = 0; i < definition->n_activities; i++)
        if (!compile_activity(sandbox, definition, &definition->activities[i],
                              &workflow->activities[i], fault))
            return false;
    for (int i = 0; i < definition->n_data; i++) {
        if (!compile_data(sandbox, definition, &definition->data[i], &workflow->data[i], fault))
            return false;
        workflow->has_lists = workflow->has_lists || definition->data[i].list;
    }
    return true;
}

bool workflow_new(struct runtime *runtime, struct sandbox *sandbox, struct definition *definition,
                  int version, struct workflow **out, struct fault *fault)
{
    struct workflow *workflow = calloc(1, sizeof *workflow);
    if (!workflow)
        return fault_no_memory(fault);
    workflow->runtime = runtime;
    workflow->definition = definition;
    workflow->version = version;
    workflow->tables = definition->n_data ? TABLES_UNKNOWN : TABLES_KNOWN;
    TAILQ_INIT(&workflow->awaiting_tables);
    if (!compile_all(workflow, sandbox, fault)) {
        free_plans(workflow, definition);
        workflow->definition = NULL; /* stays the caller's */
        workflow_free(workflow);
        return false;
    }
    *out = workflow;
    return true;
}

bool activity_plan_takes_lease(const struct activity_plan *plan)
{
    return plan->activity->exclusive_lock &&
           (plan->activity->lock_hold == LOCK_HOLD_LEASE || plan->needs_lease);
}

void workflow_free(struct workflow *workflow)
{
    if (!workflow)
        return;
    if (workflow->definition)
        free_plans(workflow, workflow->definition);
    free(workflow->activities);
    free(workflow->data);
    definition_free(workflow->definition);
    free(workflow);
}

static bool learn_one(struct workflow *workflow, struct data_plan *plan, struct fault *fault)
{
    const struct data_declaration *declaration = plan->declaration;
    const struct table *table = plan->table;
    if (declaration->n_keys > PG_PARAMS_MAX)
        return fault_set(fault, FAULT_INVALID, "%s:%d: data.%s: more than %d columns",
                         workflow->definition->file, declaration->line, declaration->name,
                         PG_PARAMS_MAX);
    for (int k = 0; k < declaration->n_keys; k++) {
        const struct column *column = table_column(table, declaration->keys[k].column);
        if (!column)
            return fault_set(fault, FAULT_INVALID, "%s:%d: data.%s: table %s has no column '%s'",
                             workflow->definition->file, declaration->line, declaration->name,
                             declaration->table, declaration->keys[k].column);
        plan->columns[k] = (int)(column - table->columns);
    }
    if (!declaration->list && !table_is_key(table, plan->columns, declaration->n_keys))
        return fault_set(
            fault, FAULT_INVALID, "%s:%d: data.%s: the key matches no unique index of table %s",
            workflow->definition->file, declaration->line, declaration->name, declaration->table);
    for (int o = 0; o < declaration->n_order_by; o++)
        if (!table_column(table, declaration->order_by[o].column))
            return fault_set(fault, FAULT_INVALID, "%s:%d: data.%s: table %s has no column '%s'",
                             workflow->definition->file, declaration->line, declaration->name,
                             declaration->table, declaration->order_by[o].column);
    return true;
}

bool workflow_learn_tables(struct workflow *workflow, struct catalogue *catalogue,
                           const char *own_schema, PGresult *const *results, struct fault *fault)
{
    const struct definition *definition = workflow->definition;
    for (int i = 0; i < definition->n_data; i++) {
        struct data_plan *plan = &workflow->data[i];
        const struct data_declaration *declaration = plan->declaration;
        if (!catalogue_learn(catalogue, declaration->table, own_schema, results[i], &plan->table,
                             fault))
            return fault_prefix(fault, "%s:%d: data.%s", definition->file, declaration->line,
                                declaration->name);
        if (!learn_one(workflow, plan, fault))
            return false;
    }
    workflow->tables = TABLES_KNOWN;
    return true;
}

bool workflow_recall_tables(struct workflow *workflow, const struct catalogue *catalogue)
{
    const struct definition *definition = workflow->definition;
    struct fault told_by_look_up;
    for (int i = 0; i < definition->n_data; i++) {
        workflow->data[i].table = catalogue_find(catalogue, definition->data[i].table);
        if (!workflow->data[i].table || !learn_one(workflow, &workflow->data[i], &told_by_look_up))
            return false;
    }
    workflow->tables = TABLES_KNOWN;
    return true;
}

void workflow_forget_tables(struct workflow *workflow)
{
    if (workflow->tables != TABLES_KNOWN || !workflow->definition->n_data)
        return;
    workflow->tables = TABLES_UNKNOWN;
    workflow->tables_fault = (struct fault){0};
}

const struct definition *workflow_definition(const struct workflow *workflow)
{
    return workflow->definition;
}

int workflow_version(const struct workflow *workflow)
{
    return workflow->version;
}
