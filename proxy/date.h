/*
 * date.h -- the value of a Date field (RFC 9110 section 5.6.7).
 */
#ifndef PROXY_DATE_H
#define PROXY_DATE_H

#include <stdint.h>

#define DATE_TEXT_LEN 29

/*
 * "Sun, 06 Nov 1994 08:49:37 GMT", with a NUL behind it: made once a second per thread, good until
 * this thread's next call.
 */
const char *date_text(uint64_t now_s);

#endif
