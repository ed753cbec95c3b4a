#include "instance.h"

#include "text.h"

#include <string.h>

static void drop_staged(struct instance *instance)
{
    json_decref(instance->next.vars);
    json_decref(instance->next.output);
    instance->next = (struct instance_next){0};
}

void instance_done(struct instance *instance)
{
    drop_staged(instance);
    json_decref(instance->vars);
    json_decref(instance->output);
    instance->vars = instance->output = NULL;
}

void instance_stage(struct instance *instance, enum instance_step step, int activity, json_t *vars,
                    json_t *output)
{
    drop_staged(instance);
    instance->next =
        (struct instance_next){.step = step, .activity = activity, .vars = vars, .output = output};
}

void instance_stage_as_is(struct instance *instance, int activity)
{
    instance_stage(instance, STEP_GOES_ON, activity, json_incref(instance->vars), NULL);
    instance->next.only_persists = true;
}

void instance_adopt(struct instance *instance, bool stored)
{
    struct instance_next *next = &instance->next;
    json_decref(instance->vars);
    instance->vars = next->vars;
    next->vars = NULL;
    if (next->output) {
        json_decref(instance->output);
        instance->output = next->output;
        next->output = NULL;
    }
    if (stored) {
        instance->state_version++; /* a new row has version 1 */
        instance->stored = true;
    }
    instance->owned = stored && next->step == STEP_GOES_ON;
    instance->has_idled = instance->has_idled || next->step == STEP_IDLES;
}

void instance_add_state(struct text *out, const char *status, const char *activity,
                        const char *wait_for, const char *process)
{
    text_addf(out, "it is %s", status);
    if (strcmp(status, "completed") == 0)
        return;
    if (activity)
        text_addf(out, " before activity '%s'", activity);
    if (wait_for)
        text_addf(out, " and waits for event '%s'", wait_for);
    if (process && strcmp(status, "running") == 0)
        text_addf(out, ", by process %s", process);
}
