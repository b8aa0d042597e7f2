/*
 * ladder_tls.h -- what the ladder says of TLS: handshake messages, and records as their headers tell.
 */
#ifndef TRACE_LADDER_TLS_H
#define TRACE_LADDER_TLS_H

#include "trace/evidence.h"

#define LADDER_ITEM_MAX    96
#define LADDER_RECORDS_MAX 512

/* Without a record that begins in the row: "TLS handshake: ServerHello, Finished". */
void ladder_tls_item(const struct evidence_item *item, char out[LADDER_ITEM_MAX]);

/*
 * The records that begin in the row, with their sizes: "TLS: ServerHello (TLS 1.3) 127, 3 encrypted
 * 1013 with Finished"; empty: none is known. Then no item of TLS needs a text of its own.
 */
void ladder_tls_records(const struct evidence *e, const struct evidence_row *row,
			char out[LADDER_RECORDS_MAX]);

#endif
