#include "sample_texts.h"

#include <string.h>

const char *sample_text_find(const char *name)
{
    for (const struct sample_text *sample = sample_texts; sample->name; sample++)
        if (strcmp(sample->name, name) == 0)
            return sample->text;
    return NULL;
}
