/*
 * show.h -- `flowtrace show`: reads what a traced run left in its folder and prints it for people.
 */
#ifndef TRACE_SHOW_H
#define TRACE_SHOW_H

/*
 * flowtrace show DIR|FLOWS [ID] [--story]. argv[0] is the word "show". Returns the exit status: 0 fine, 1 failed, 2 wrong
 * usage. Writes nothing but to standard output and standard error.
 */
int show_main(int argc, char **argv);

#endif
