"""Responses that must not reach the client, and bytes that belong to none.

HEADS   (name, rule, bytes): refused in the head; the client gets a 502 and nothing of it
ASKED   (name, rule, fields of the request, bytes): the same, where it depends on the request
EXTRA   (name, rule, method, version, response, bytes behind it): the response is right and passes;
        the bytes behind it end the backend's connection and are never anybody's answer

Every fault is known with the last byte of its entry. A rule says "RFC section: what it asks for".
What the codec alone says of such heads, split at every byte, is asserted by
tests/unit/common/http_head_malformed_test.c.
"""

HEADS = []
ASKED = []
EXTRA = []
LENGTH = b"Content-Length: 2\r\n\r\nok"
OK = b"HTTP/1.1 200 OK\r\n"


def _add(rule, cases, before=b"", behind=b""):
    for name, text in cases.items():
        HEADS.append((name, rule, before + text + behind))


def _lines(rule, cases):
    _add(rule, cases, behind=b"\r\n" + LENGTH)


def _fields(rule, cases):
    _add(rule, cases, OK, b"\r\n" + LENGTH)


def _framing(rule, cases):
    _add(rule, cases, OK, b"\r\n\r\nok")


# ---- the status line ----

_lines("9112 4: HTTP-version SP status-code SP [ reason-phrase ]", {
    "garbage": b"hello, I am no web server",
    "markup, as in HTTP/0.9": b"<html>",
    "nothing": b"",
    "no status": b"HTTP/1.1",
    "no status behind a space": b"HTTP/1.1 ",
    "words for a status": b"HTTP/1.1 OK",
    "status of two digits": b"HTTP/1.1 20 OK",
    "status of four digits": b"HTTP/1.1 2000 OK",
    "letter in the status": b"HTTP/1.1 2x0 OK",
    "plus in the status": b"HTTP/1.1 +20 OK",
    "minus in the status": b"HTTP/1.1 -20 OK",
    "fraction of a status": b"HTTP/1.1 200.1 OK",
    "reason glued to the status": b"HTTP/1.1 200OK",
    "two spaces before the status": b"HTTP/1.1  200 OK",
    "tab before the status": b"HTTP/1.1\t200 OK",
    "tab behind the status": b"HTTP/1.1 200\tOK",
    "space before the version": b" HTTP/1.1 200 OK",
    "tab before the version": b"\tHTTP/1.1 200 OK",
    "a request": b"GET / HTTP/1.1",
    "another script's digits": b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK",
})
_lines("9112 2.3: HTTP-version is HTTP/ DIGIT . DIGIT, in capitals", {
    "lower case http": b"http/1.1 200 OK",
    "another protocol's name": b"HTTQ/1.1 200 OK",
    "RTSP": b"RTSP/1.0 200 OK",
    "ICY": b"ICY 200 OK",
    "SIP": b"SIP/2.0 200 OK",
    "no minor version": b"HTTP/1 200 OK",
    "two digits behind the dot": b"HTTP/1.11 200 OK",
    "two digits before the dot": b"HTTP/01.1 200 OK",
    "no version at all": b"HTTP/ 200 OK",
    "comma in the version": b"HTTP/1,1 200 OK",
})
_lines("9110 2.5: a version that is not spoken here", {
    "HTTP/0.9": b"HTTP/0.9 200 OK",
    "HTTP/1.2": b"HTTP/1.2 200 OK",
    "HTTP/2.0": b"HTTP/2.0 200 OK",
})
_lines("9110 15: 100 to 599", {
    "status 000": b"HTTP/1.1 000 Zero",
    "status 99": b"HTTP/1.1 099 Low",
    "status 600": b"HTTP/1.1 600 High",
    "status 999": b"HTTP/1.1 999 High",
})
_lines("9112 4: a reason is HTAB, SP, VCHAR and obs-text", {
    "NUL in the reason": b"HTTP/1.1 200 O\0K",
    "control byte in the reason": b"HTTP/1.1 200 O\x01K",
    "escape in the reason": b"HTTP/1.1 200 \x1b[0m",
    "DEL in the reason": b"HTTP/1.1 200 O\x7fK",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK",
    "bare LF in the reason": b"HTTP/1.1 200 O\nK",
})
_add("9112 2.2: only before a request may an empty line stand", {
    "empty line before": b"\r\n" + OK + LENGTH,
    "bare LF before": b"\n" + OK + LENGTH,
    "bare CR before": b"\r" + OK + LENGTH,
    "NUL before": b"\0" + OK + LENGTH,
})

# ---- lines and fields ----

_add("9112 2.2: CRLF alone ends a line; a bare CR or LF is no part of one", {
    "bare LF everywhere": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare LF behind the status line": b"HTTP/1.1 200 OK\n" + LENGTH,
    "bare CR behind the status line": b"HTTP/1.1 200 OK\r" + LENGTH,
    "CR CR LF behind the status line": b"HTTP/1.1 200 OK\r\r\n" + LENGTH,
    "bare LF ends the head": OK + b"Content-Length: 2\r\n\nok",
    "two bare LFs end the head": OK + b"Content-Length: 2\n\nok",
    "bare CR ends the head": OK + b"Content-Length: 2\r\n\rok",
    "CR CR LF ends the head": OK + b"Content-Length: 2\r\n\r\r\nok",
})
_fields("9112 2.2: CRLF alone ends a line; a bare CR or LF is no part of one", {
    "bare LF behind a field": b"X: y\nZ: z",
    "bare LF hides a response": b"X: y\n\nHTTP/1.1 200 OK\r\nX: smuggled",
    "bare CR in a value": b"X: y\rz",
    "bare CR hides a field": b"X:\rTransfer-Encoding: chunked",
    "bare CR in a name": b"X\rY: z",
    "CR CR LF behind a field": b"X: y\r",
})
_fields("9112 5.1: no white space before the colon", {
    "space before the colon": b"X : y",
    "tab before the colon": b"X\t: y",
    "space before a length's colon": b"Content-Length : 2",
    "space before a coding's colon": b"Transfer-Encoding : chunked",
})
_fields("9110 5.1: a name is a token", {
    "empty name": b": y",
    "parenthesis in a name": b"X(: y",
    "space in a name": b"X y: z",
    "byte above 127 in a name": b"X\xe4: y",
    "NUL in a name": b"X\0: y",
})
_fields("9112 5: field-name, colon", {
    "line without a colon": b"garbage",
    "a status line among the fields": b"HTTP/1.1 200 OK",
})
_fields("9112 5.2: no line folding; a proxy answers 502", {
    "folded with a space": b"X: y\r\n z",
    "folded with a tab": b"X: y\r\n\tz",
    "folded before the value": b"X:\r\n y",
    "space before the first field": b" X: y",
    "line of a space": b" ",
})
_fields("9110 5.5: a value has no control byte but HTAB", {
    "NUL in a value": b"X: a\0b",
    "control byte in a value": b"X: a\x01b",
    "vertical tab in a value": b"X: a\x0bb",
    "DEL in a value": b"X: a\x7fb",
})

# ---- framing ----

_framing("9112 6.1: never both framings", {
    "length and chunked": b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 2",
    "chunked and length 0": b"Transfer-Encoding: chunked\r\nContent-Length: 0",
})
_framing("9112 6.3 item 5: one length; a proxy answers 502", {
    "two lengths": b"Content-Length: 3\r\nContent-Length: 2",
    "the same length twice": b"Content-Length: 2\r\nContent-Length: 2",
    "a list of lengths": b"Content-Length: 2, 2",
})
_framing("9110 8.6: a length is 1*DIGIT", {
    "empty length": b"Content-Length:",
    "negative length": b"Content-Length: -2",
    "plus in the length": b"Content-Length: +2",
    "hexadecimal length": b"Content-Length: 0x2",
    "length with a space in it": b"Content-Length: 2 2",
    "exponent": b"Content-Length: 2e0",
    "fraction": b"Content-Length: 2.0",
    "length in quotes": b"Content-Length: \"2\"",
    "length beyond 63 bits": b"Content-Length: 9223372036854775808",
    "length beyond 64 bits": b"Content-Length: 18446744073709551618",
})
_framing("9112 6.1: chunked alone is decoded here", {
    "unknown coding": b"Transfer-Encoding: gzip",
    "coding before chunked": b"Transfer-Encoding: gzip, chunked",
    "chunked is not last": b"Transfer-Encoding: chunked, gzip",
    "chunked twice": b"Transfer-Encoding: chunked, chunked",
    "chunked in two fields": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "almost chunked": b"Transfer-Encoding: xchunked",
    "chunked in quotes": b"Transfer-Encoding: \"chunked\"",
    "chunked with a parameter": b"Transfer-Encoding: chunked;q=1",
    "identity": b"Transfer-Encoding: identity",
    "empty coding": b"Transfer-Encoding:",
})
_add("9112 6.1: no Transfer-Encoding in HTTP/1.0", {
    "chunked in HTTP/1.0":
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
})
_add("9112 6.1: also where there is no body", {
    "both framings of a 304":
        b"HTTP/1.1 304 N\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths of a 204": b"HTTP/1.1 204 N\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
})

# ---- interim responses ----

_add("9110 15.2: an interim response is a head like any other", {
    "space before a colon of a 100": b"HTTP/1.1 100 Continue\r\nX : y\r\n\r\n" + OK + LENGTH,
    "folded field of a 103": b"HTTP/1.1 103 Hints\r\nX: y\r\n z\r\n\r\n" + OK + LENGTH,
    "bare LF behind a 100": b"HTTP/1.1 100 Continue\n\n" + OK + LENGTH,
    "two lengths of a 100":
        b"HTTP/1.1 100 C\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" + OK + LENGTH,
})
_add("9110 15.2.2: 101 only to who asked", {
    "101 that nobody asked for":
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nframes",
})

# ---- limits ----

_fields("design section 5: more fields than max_headers, 256", {
    "257 fields": b"\r\n".join(b"X%d: y" % n for n in range(256)),
})

_WANTS = ("Connection: Upgrade", "Upgrade: websocket")
for _name, _raw in {
    "101 to another protocol": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "101 to no protocol": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n",
    "101 without the option": b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
    "101 of HTTP/1.0": b"HTTP/1.0 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
}.items():
    ASKED.append((_name, "9110 15.2.2: to what was asked for, and it says so", _WANTS, _raw))

# ---- bytes behind a response (9112 sections 6.3 and 9.2) ----

_EVIL = b"HTTP/1.1 299 Evil\r\nContent-Length: 4\r\n\r\nevil"
_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
for _name, _rule, _method, _version, _raw, _rest in (
    ("a second response", "9112 9.2: one response a request", "GET", "1.1", OK + LENGTH, _EVIL),
    ("a byte more than the length", "9112 6.3 item 6", "GET", "1.1", OK + LENGTH, b"x"),
    ("an empty line", "9112 9.2: no request is outstanding", "GET", "1.1", OK + LENGTH, b"\r\n"),
    ("a NUL", "9112 6.3 item 6", "GET", "1.1", OK + LENGTH, b"\0"),
    ("a body where the length is 0", "9112 6.3 item 6", "GET", "1.1",
     OK + b"Content-Length: 0\r\n\r\n", b"evil"),
    ("bytes behind the last chunk", "9112 7.1", "GET", "1.1", _CHUNKED + b"\r\n", b"4\r\nevil\r\n"),
    ("a response behind the last chunk", "9112 7.1", "GET", "1.1", _CHUNKED + b"\r\n", _EVIL),
    ("a response behind trailers", "9112 7.1.2", "GET", "1.1", _CHUNKED + b"A: b\r\n\r\n", _EVIL),
    ("a response behind decoded chunks", "9112 7.1", "GET", "1.0", _CHUNKED + b"\r\n", _EVIL),
    ("the body of a HEAD", "9112 6.3 item 1", "HEAD", "1.1", OK + b"Content-Length: 4\r\n\r\n",
     b"evil"),
    ("the chunks of a HEAD", "9112 6.3 item 1", "HEAD", "1.1",
     OK + b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nevil\r\n0\r\n\r\n"),
    ("the body of a HEAD that looks like a response", "9112 6.3 item 1", "HEAD", "1.1",
     OK + b"Content-Length: 44\r\n\r\n", _EVIL),
    ("the body of a 204", "9112 6.3 item 1", "GET", "1.1", b"HTTP/1.1 204 N\r\n\r\n", b"evil"),
    ("the chunks of a 204", "9112 6.3 item 1", "GET", "1.1",
     b"HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nevil\r\n0\r\n\r\n"),
    ("the body of a 304", "9112 6.3 item 1", "GET", "1.1",
     b"HTTP/1.1 304 N\r\nContent-Length: 4\r\n\r\n", b"evil"),
    ("an interim response behind the final one", "9110 15.2", "GET", "1.1", OK + LENGTH,
     b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("a response behind one that says close", "9112 9.6: nothing follows close", "GET", "1.1",
     OK + b"Connection: close\r\n" + LENGTH, _EVIL),
    ("a response behind one of HTTP/1.0", "9112 9.3", "GET", "1.1",
     b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH, _EVIL),
):
    EXTRA.append((_name, _rule, _method, _version, _raw, _rest))
