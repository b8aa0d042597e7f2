/*
 * answer.h -- answers that the proxy makes itself: a soap:Fault for a SOAP request, a short text for
 * any other (reason.h has the status and the sentence).
 *
 * Knows no socket; the current second is given by the caller.
 */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/http_head.h"
#include "proxy/reason.h"

#define ANSWER_MAX 2048

enum answer_form {
	ANSWER_TEXT,    /* text/plain: the sentence and the exchange id */
	ANSWER_SOAP_11, /* text/xml: Fault of http://schemas.xmlsoap.org/soap/envelope/ */
	ANSWER_SOAP_12, /* application/soap+xml: Fault of http://www.w3.org/2003/05/soap-envelope */
};

/*
 * What the sender of this complete request head understands. SOAP 1.2: its Content-Type is
 * application/soap+xml, or multipart/related around that (parameter type or start-info). SOAP 1.1:
 * the same with text/xml, or there is a SOAPAction field.
 */
enum answer_form answer_form_of(const struct http_head *request, const char *bytes);

/*
 * Write one: status line, Date, Content-Type, Content-Length always, Connection: close when the
 * connection ends, Allow on 405 and to an OPTIONS that is answered here, and the body. A reason
 * without a sentence (Max-Forwards) has an empty one, whatever the form. With head_only the body is left out and Content-Length kept (HEAD).
 * Returns the length; body_len receives that of the body which was written.
 */
size_t answer_write(enum reason why, enum answer_form form, uint64_t id, bool close, bool head_only,
		    uint64_t now_s, char out[ANSWER_MAX], size_t *body_len);

#endif
