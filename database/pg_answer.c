#include "pg_conn.h"

#include <stdlib.h>

void pg_answer_done(struct pg_answer *answer)
{
    for (int i = 0; i < answer->n_results; i++)
        PQclear(answer->results[i]);
    free(answer->results);
    *answer = (struct pg_answer){0};
}
