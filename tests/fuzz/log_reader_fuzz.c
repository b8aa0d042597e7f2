/*
 * log_reader_fuzz.c -- any line as a line of proxy.ndjson: it is refused with a reason, or gives a
 * record that the correlator takes; and what is read in the proxy's own form jansson reads the same.
 */
// links: trace
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "trace/log_line.h"
#include "trace/log_reader.h"
#include "trace/tap_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_own_form(const char *line, size_t len)
{
	struct exchange_record own, other;
	struct log_tls own_tls, other_tls;
	struct log_line_times t;
	char err[LOG_ERROR_MAX];

	if (!log_line_read(line, len, &own, &own_tls))
		return;
	assert(log_line_parse_json(line, len, &other, &other_tls, err));
	assert(memcmp(&own, &other, sizeof(own)) == 0);
	assert(memcmp(&own_tls, &other_tls, sizeof(own_tls)) == 0);
	assert(log_line_read_times(line, len, &t));
	assert(t.run == own.run && t.start_ns == own.start_ns);
	assert(t.end_ns == exchange_end_ns(own.start_ns, own.at_us));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exchange_record x;
	struct log_tls tls;
	char err[LOG_ERROR_MAX] = "";

	check_own_form((const char *)data, size);
	if (log_line_parse((const char *)data, size, &x, &tls, err)) {
		assert(exchange_record_fault(&x) == NULL);
		for (unsigned leg = 0; leg < 2; leg++)
			assert(tls_marks_fault(&tls.marks[leg]) == NULL || !tls.is_there[leg]);
	} else {
		assert(err[0] != '\0' && memchr(err, '\0', sizeof(err)) != NULL);
	}
	return 0;
}
