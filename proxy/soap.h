/*
 * soap.h -- reads the operation of a SOAP request, or the fault of a SOAP response, out of its body
 * as it streams by (log.soap = full).
 *
 * Looks at no more than SOAP_BYTES_MAX bytes of a body, whatever they are, and stops as soon as it
 * knows. Never changes or holds up a byte, knows no socket. Bodies in a Content-Encoding, document
 * types and entity declarations are not read.
 */
#ifndef PROXY_SOAP_H
#define PROXY_SOAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_head.h"

#define SOAP_BYTES_MAX  (64 * 1024)
#define SOAP_MEMORY_MAX (512 * 1024) /* what the XML parser may take for one body */
#define SOAP_DEPTH_MAX  64           /* of elements */
#define SOAP_TEXT_MAX   256

enum soap_side {
	SOAP_REQUEST,  /* SOAP_OPERATION is looked for */
	SOAP_RESPONSE, /* SOAP_FAULT_CODE and SOAP_FAULT_STRING are */
};

enum soap_what {
	SOAP_OPERATION,    /* local name of the first element in the Body */
	SOAP_FAULT_CODE,   /* 1.1: faultcode; 1.2: Code/Value */
	SOAP_FAULT_STRING, /* 1.1: faultstring; 1.2: the first Reason/Text */
	SOAP_WHAT_COUNT,
};

/* UTF-8, without white space around it, cut at SOAP_TEXT_MAX bytes. */
struct soap_text {
	bool known;
	bool cut;
	uint16_t len;
	char bytes[SOAP_TEXT_MAX];
};

struct soap_reader;

/*
 * For the body behind this complete head, whose bytes are not needed afterwards. NULL when there is
 * nothing to read: no XML and no multipart/related by its Content-Type (and no SOAPAction), a
 * Content-Encoding, or no memory.
 */
struct soap_reader *soap_reader_new(enum soap_side side, const struct http_head *h,
				    const char *bytes) MUST_CHECK;
/* NULL is fine. */
void soap_reader_free(struct soap_reader *r);

/* The next bytes of the payload, as an http_body_sink: arg is the reader. */
void soap_reader_feed(void *arg, const char *bytes, size_t len);

/* No more bytes will come, or nobody cares: what is known is final. May be called again. */
void soap_reader_end(struct soap_reader *r);

/* After soap_reader_end(): valid until the reader is freed; not known where it did not stand there. */
const struct soap_text *soap_reader_text(const struct soap_reader *r, enum soap_what what);

#endif
