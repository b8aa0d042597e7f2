/*
 * options.h -- numbers on the command line of a test tool.
 */
#ifndef TESTS_TOOLS_LIB_OPTIONS_H
#define TESTS_TOOLS_LIB_OPTIONS_H

/*
 * A whole decimal number between 0 and max. Otherwise one line on stderr and exit(2): the tools
 * have nothing to undo while they read their options.
 */
unsigned long option_number(const char *program, const char *option, const char *text,
			    unsigned long max);

#endif
