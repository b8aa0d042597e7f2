/*
 * log_reader_fuzz.c -- any line as a line of proxy.ndjson: it is refused with a reason, or gives a
 * record that the correlator takes.
 */
// links: trace
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "trace/log_reader.h"
#include "trace/tap_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exchange_record x;
	char err[LOG_ERROR_MAX] = "";

	if (log_line_parse((const char *)data, size, &x, err))
		assert(exchange_record_fault(&x) == NULL);
	else
		assert(err[0] != '\0' && memchr(err, '\0', sizeof(err)) != NULL);
	return 0;
}
