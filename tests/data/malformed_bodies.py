"""Chunked bodies that must be refused, of requests and responses alike: (name, rule, bytes).

Each stands where a chunk-size line may begin. The fault is known with the last byte. What the codec
says of them, split at every byte, is asserted by tests/unit/common/http_body_test.c; here, what the
peers and the log see.
"""

CHUNKS = []


def _add(rule, cases):
    for name, text in cases.items():
        CHUNKS.append((name, rule, text))


_add("9112 7.1: chunk-size is 1*HEXDIG", {
    "no size": b"\r\n",
    "no hexadecimal digit": b"xyz\r\n",
    "extension without a size": b";a=b\r\n",
    "negative size": b"-1\r\n",
    "plus before the size": b"+5\r\nhello\r\n",
    "0x before the size": b"0x5\r\nhello\r\n",
    "x behind the size": b"5x\r\nhello\r\n",
    "size in quotes": b"\"5\"\r\nhello\r\n",
    "space before the size": b" 5\r\nhello\r\n",
    "tab before the size": b"\t5\r\nhello\r\n",
    "space behind the size": b"5 \r\nhello\r\n",
    "tab behind the size": b"5\t\r\nhello\r\n",
    "space in the size": b"1 0\r\n",
    "comma in the size": b"1,0\r\n",
    "fraction": b"5.0\r\nhello\r\n",
    "NUL behind the size": b"5\0\r\nhello\r\n",
    "byte above 127 in the size": b"5\xa0\r\nhello\r\n",
    "h for hexadecimal": b"5h\r\nhello\r\n",
    "digit of another script": b"\xd9\xa5\r\nhello\r\n",
})
_add("9112 7.1: no overflow of a chunk-size", {
    "size beyond 63 bits": b"8000000000000000\r\n",
    "size of 64 bits": b"FFFFFFFFFFFFFFFF\r\n",
    "size of 17 digits": b"10000000000000005\r\nhello\r\n",
    "size of 17 digits, mostly zeros": b"00000000000000005\r\nhello\r\n",
    "size of 32 digits": b"100000000000000000000000000000005\r\nhello\r\n",
})
_add("9112 7.1: CRLF behind the size and behind the data", {
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "CR CR LF behind the size": b"5\r\r\nhello\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "bare CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "CR CR LF behind the data": b"5\r\nhello\r\r\n0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "data longer than the size": b"5\r\nhello world\r\n0\r\n\r\n",
    "data shorter than the size": b"5\r\nhell\r\n0\r\n\r\n",
    "empty line between chunks": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "bare LF behind the last size": b"0\n\r\n",
    "bare CR behind the last size": b"0\r\r\n",
    "bare LF ends the body": b"0\r\n\n",
    "bare CR ends the body": b"0\r\n\rX",
})
_add("9112 7.1.1: chunk-ext is *( BWS ; BWS name [ BWS = BWS ( token / quoted-string ) ] )", {
    "extension without a name": b"5;\r\nhello\r\n",
    "blank for a name": b"5; \r\nhello\r\n",
    "value without a name": b"5;=b\r\nhello\r\n",
    "no value behind =": b"5;a=\r\nhello\r\n",
    "two values": b"5;a=b=c\r\nhello\r\n",
    "two words": b"5;a b\r\nhello\r\n",
    "space behind an extension": b"5;a \r\nhello\r\n",
    "comma between extensions": b"5;a,b\r\nhello\r\n",
    "quoted name": b"5;\"a\"=b\r\nhello\r\n",
    "quotes that do not close": b"5;a=\"b\r\nhello\r\n",
    "bytes behind the quotes": b"5;a=\"b\"c\r\nhello\r\n",
    "single quotes around a separator": b"5;a='b c'\r\nhello\r\n",
    "CR in quotes": b"5;a=\"b\rc\"\r\nhello\r\n",
    "LF in quotes": b"5;a=\"b\nc\"\r\nhello\r\n",
    "CRLF in quotes": b"5;a=\"b\r\n0\r\n\r\n\"\r\nhello\r\n",
    "escaped CR": b"5;a=\"\\\rb\"\r\nhello\r\n",
    "NUL in quotes": b"5;a=\"\0\"\r\nhello\r\n",
    "escaped NUL": b"5;a=\"\\\0\"\r\nhello\r\n",
    "DEL in quotes": b"5;a=\"\x7f\"\r\nhello\r\n",
    "bare CR in a name": b"5;a\rb\r\nhello\r\n",
    "bare LF behind an extension": b"5;a=b\nhello\r\n0\r\n\r\n",
    "bare LF behind a last chunk's extension": b"0;a\n\r\n",
    "byte above 127 in a name": b"5;\xe4=b\r\nhello\r\n",
    "byte above 127 in a token": b"5;a=\xe4\r\nhello\r\n",
    "backslash without quotes": b"5;a=\\b\r\nhello\r\n",
})
_add("9112 7.1.2: a trailer field is a field (5, 5.1, 5.2; 9110 5.5)", {
    "trailer without a colon": b"0\r\nA\r\n\r\n",
    "trailer with an empty name": b"0\r\n: b\r\n\r\n",
    "space before a trailer's colon": b"0\r\nA : b\r\n\r\n",
    "space in a trailer's name": b"0\r\nA b: c\r\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "trailer folded with a tab": b"0\r\nA: b\r\n\tc\r\n\r\n",
    "space before the first trailer": b"0\r\n A: b\r\n\r\n",
    "bare LF behind a trailer": b"0\r\nA: b\n\r\n",
    "bare LF hides a trailer": b"0\r\nA: b\nContent-Length: 5\r\n\r\n",
    "bare CR in a trailer": b"0\r\nA: b\rc\r\n\r\n",
    "bare CR before a trailer": b"0\r\n\rA: b\r\n\r\n",
    "CR CR LF behind a trailer": b"0\r\nA: b\r\r\n\r\n",
    "NUL in a trailer": b"0\r\nA: b\0c\r\n\r\n",
    "NUL in a trailer's name": b"0\r\nA\0: b\r\n\r\n",
    "DEL in a trailer": b"0\r\nA: \x7f\r\n\r\n",
    "control byte in a trailer": b"0\r\nA: \x01\r\n\r\n",
    "byte above 127 in a trailer's name": b"0\r\nA\xe4: b\r\n\r\n",
    "a request for a trailer": b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "a chunk behind the last": b"0\r\n5\r\nhello\r\n0\r\n\r\n",
})
