/*
 * options.c -- read a number from the command line, or end with a line that names the option.
 */
#include "tests/tools/lib/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

unsigned long option_number(const char *program, const char *option, const char *text,
			    unsigned long max)
{
	char *end = NULL;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value > max) {
		fprintf(stderr, "%s: %s %s: a number between 0 and %lu is wanted\n", program,
			option, text, max);
		exit(2);
	}
	return value;
}
