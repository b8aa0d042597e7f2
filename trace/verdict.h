/*
 * verdict.h -- one word for where the time of an exchange went.
 */
#ifndef TRACE_VERDICT_H
#define TRACE_VERDICT_H

#include "trace/phases.h"

/* The name of the largest phase (the first of equals); NULL when a phase is not known. */
const char *verdict_word(const struct phases *p);

#endif
