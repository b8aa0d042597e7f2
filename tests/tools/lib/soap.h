/*
 * soap.h -- the SOAP side of currency-backend: requests read, answers, faults and the WSDL written.
 */
#ifndef TESTS_TOOLS_LIB_SOAP_H
#define TESTS_TOOLS_LIB_SOAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "tests/tools/lib/text.h"

#define SOAP_NAMESPACE "http://www.webserviceX.NET/"
#define SOAP_PATH      "/currencyconvertor.asmx"

enum soap_version { SOAP_1_1, SOAP_1_2 };

/* Who is to blame for a fault; the words differ between the two versions. */
enum soap_blame { SOAP_CLIENT, SOAP_SERVER, SOAP_VERSION_MISMATCH, SOAP_MUST_UNDERSTAND };

#define SOAP_VALUE_MAX   64
#define SOAP_MESSAGE_MAX 256

struct soap_call {
	enum soap_version version;
	char from[SOAP_VALUE_MAX];
	char to[SOAP_VALUE_MAX];
	enum soap_blame blame; /* with error only */
	char error[SOAP_MESSAGE_MAX];
};

/*
 * Read the envelope of a ConversionRate request. False: `blame` and `error` are what a fault says,
 * in `version`: the envelope's, or that of content_type where there was no envelope to be seen.
 * Document type declarations are refused, and with them every entity but XML's own five.
 */
bool soap_call_parse(struct soap_call *call, const char *content_type, const char *body,
		     size_t len) MUST_CHECK;

/* The Content-Type of what the functions below write. */
const char *soap_content_type(enum soap_version version);

void soap_write_rate(struct text *out, enum soap_version version, double rate);
void soap_write_fault(struct text *out, enum soap_version version, enum soap_blame blame,
		      const char *message);

/* host: as the client named this server, for the address in the WSDL. */
void soap_write_wsdl(struct text *out, const char *host);

#endif
