"""Requests that must be refused: the bytes, the rule that they break, the answer.

HEADS    (name, rule, bytes, status, end word): refused in the head, the backend sees nothing at all
BEHIND   (name, rule, request, bytes behind it, status, end word): the request is whole and right;
         what stands behind it is the next one's, which is refused
FRAMED   (name, rule, bytes, status, end word): right in themselves, but not passed on

Every fault is known with the last byte of its entry. A rule says "RFC section: what it asks for";
9112 is HTTP/1.1, 9110 HTTP's semantics, 3986 URIs. What the codec alone says of such heads, split
at every byte, is asserted by tests/unit/common/http_head_malformed_test.c; here, what the two peers
and the log see of it.
"""

HEADS = []
BEHIND = []
FRAMED = []


def _add(rule, cases, status=400, end="bad-request", before=b"", behind=b""):
    """cases: name -> what is wrong, put between before and behind."""
    for name, text in cases.items():
        HEADS.append((name, rule, before + text + behind, status, end))


def _lines(rule, cases, status=400, end="bad-request"):
    _add(rule, cases, status, end, behind=b"\r\nHost: a\r\n\r\n")


def _fields(rule, cases, status=400, end="bad-request"):
    _add(rule, cases, status, end, b"POST / HTTP/1.1\r\nHost: a\r\n", b"\r\n\r\n")


def _hosts(rule, cases):
    _add(rule, cases, before=b"GET / HTTP/1.1\r\nHost: ", behind=b"\r\n\r\n")


# ---- the request line ----

_lines("9112 3: method SP request-target SP HTTP-version", {
    # A ClientHello is no malformed request, but tls-on-plain.
    "an alert of TLS": b"\x15\x03\x01\x00\x02\x02\x28",
    "no method": b" / HTTP/1.1",
    "only a method": b"GET",
    "only a method and a space": b"GET ",
    "no target": b"GET HTTP/1.1",
    "no version, as in HTTP/0.9": b"GET /",
    "no version behind a space": b"GET / ",
    "two spaces before the target": b"GET  / HTTP/1.1",
    "two spaces before the version": b"GET /  HTTP/1.1",
    "tab before the target": b"GET\t/ HTTP/1.1",
    "tab before the version": b"GET /\tHTTP/1.1",
    "vertical tab before the version": b"GET /\x0bHTTP/1.1",
    "form feed before the target": b"GET\x0c/ HTTP/1.1",
    "space before the method": b" GET / HTTP/1.1",
    "space behind the version": b"GET / HTTP/1.1 ",
    "tab behind the version": b"GET / HTTP/1.1\t",
    "words behind the version": b"GET / HTTP/1.1 x",
    "space in the target": b"GET /a b HTTP/1.1",
    "two versions": b"GET / HTTP/1.1 HTTP/1.1",
    "a status line": b"HTTP/1.1 200 OK",
})
_lines("9110 9.1: a method is a token", {
    "parenthesis in the method": b"GE(T / HTTP/1.1",
    "colon behind the method": b"GET: / HTTP/1.1",
    "quotes around the method": b"\"GET\" / HTTP/1.1",
    "byte above 127 in the method": b"G\xc3\x89T / HTTP/1.1",
    "NUL in the method": b"GE\0T / HTTP/1.1",
    "NUL before the method": b"\0GET / HTTP/1.1",
    "DEL in the method": b"GET\x7f / HTTP/1.1",
    "a byte order mark before the method": b"\xef\xbb\xbfGET / HTTP/1.1",
})
_lines("9112 2.3: HTTP-version is HTTP/ DIGIT . DIGIT, in capitals", {
    "lower case http": b"GET / http/1.1",
    "another protocol's name": b"GET / HTTQ/1.1",
    "RTSP": b"GET / RTSP/1.0",
    "ICE": b"SOURCE / ICE/1.0",
    "two digits behind the dot": b"GET / HTTP/1.10",
    "two digits before the dot": b"GET / HTTP/01.1",
    "no dot": b"GET / HTTP/11",
    "no digit behind the dot": b"GET / HTTP/1.",
    "no minor version": b"GET / HTTP/1",
    "no digits": b"GET / HTTP/",
    "letter in the version": b"GET / HTTP/1.x",
    "comma in the version": b"GET / HTTP/1,1",
    "space in the version": b"GET / HTTP/ 1.1",
    "minus in the version": b"GET / HTTP/-1.1",
})
_lines("9110 15.6.6: a version that is not spoken here", {
    "HTTP/0.9": b"GET / HTTP/0.9",
    "HTTP/1.2": b"GET / HTTP/1.2",
    "HTTP/1.9": b"GET / HTTP/1.9",
    "HTTP/2.0": b"GET / HTTP/2.0",
    "HTTP/3.0": b"GET / HTTP/3.0",
}, 505, "version-refused")
_add("9113 3.4: the preface of HTTP/2, which is not spoken here", {
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}, 505, "version-refused")
_lines("9110 15.6.2: a method that is not known", {
    "unknown method": b"FROBNICATE / HTTP/1.1",
    "one letter more": b"GETT / HTTP/1.1",
    "one letter less": b"GE / HTTP/1.1",
    "method in lower case": b"get / HTTP/1.1",
    "method in mixed case": b"Post / HTTP/1.1",
    "odd token": b"!#$%&'*+-.^_`|~ / HTTP/1.1",
    "RTSP's DESCRIBE": b"DESCRIBE / HTTP/1.1",
    "HTTP/2's PRI": b"PRI / HTTP/1.1",
}, 501, "method-unknown")
_lines("9112 3.2: a target has no fragment, no white space, no control byte, nothing above 127", {
    "fragment": b"GET /a#b HTTP/1.1",
    "empty fragment": b"GET /# HTTP/1.1",
    "fragment of an absolute target": b"GET http://a/#b HTTP/1.1",
    "NUL in the target": b"GET /\0 HTTP/1.1",
    "DEL in the target": b"GET /\x7f HTTP/1.1",
    "control byte in the target": b"GET /\x01 HTTP/1.1",
    "UTF-8 in the target": b"GET /caf\xc3\xa9 HTTP/1.1",
    "Latin-1 in the target": b"GET /caf\xe9 HTTP/1.1",
    "no-break space before the version": b"GET /\xa0HTTP/1.1",
})
_lines("9112 3.2.1: origin-form begins with a slash", {
    "no slash": b"GET a/b HTTP/1.1",
    "query alone": b"GET ?a=b HTTP/1.1",
    "dots alone": b"GET ../a HTTP/1.1",
    "backslash": b"GET \\a HTTP/1.1",
    "percent-encoded slash": b"GET %2fa HTTP/1.1",
    "authority with GET": b"GET a:80 HTTP/1.1",
})
_lines("9110 4.2: http or https, a host, a port, no userinfo (4.2.4)", {
    "ftp": b"GET ftp://a/ HTTP/1.1",
    "file": b"GET file:///etc/passwd HTTP/1.1",
    "ws": b"GET ws://a/ HTTP/1.1",
    "gopher": b"GET gopher://a:80/_GET HTTP/1.1",
    "almost http": b"GET httpx://a/ HTTP/1.1",
    "one slash behind the scheme": b"GET http:/a/ HTTP/1.1",
    "no slashes behind the scheme": b"GET http:a/ HTTP/1.1",
    "backslashes behind the scheme": b"GET http:\\\\a/ HTTP/1.1",
    "scheme alone": b"GET http:// HTTP/1.1",
    "scheme without a host": b"GET http:///x HTTP/1.1",
    "port without a host": b"GET http://:80/ HTTP/1.1",
    "query without a host": b"GET http://?x HTTP/1.1",
    "user and password": b"GET http://u:p@a/ HTTP/1.1",
    "user": b"GET http://u@a/ HTTP/1.1",
    "empty user": b"GET http://@a/ HTTP/1.1",
    "port beyond 65535": b"GET http://a:65536/ HTTP/1.1",
    "port of many digits": b"GET http://a:18446744073709551696/ HTTP/1.1",
    "letters in the port": b"GET http://a:8x/ HTTP/1.1",
    "negative port": b"GET http://a:-1/ HTTP/1.1",
    "two ports": b"GET http://a:80:80/ HTTP/1.1",
    "backslash in the host": b"GET http://a\\b/ HTTP/1.1",
    "bracket that does not close": b"GET http://[::1/ HTTP/1.1",
    "no IPv6 address in brackets": b"GET http://[::g]/ HTTP/1.1",
    "IPv6 address without brackets": b"GET http://::1/ HTTP/1.1",
    "zone of an IPv6 address": b"GET http://[fe80::1%25eth0]/ HTTP/1.1",
    "half a percent-encoding in the host": b"GET http://a%2/ HTTP/1.1",
})
_lines("9112 3.2.4: asterisk-form is for OPTIONS and stands alone", {
    "asterisk with GET": b"GET * HTTP/1.1",
    "asterisk with POST": b"POST * HTTP/1.1",
    "asterisk with TRACE": b"TRACE * HTTP/1.1",
    "asterisk and more": b"OPTIONS *x HTTP/1.1",
    "asterisk and query": b"OPTIONS *?x HTTP/1.1",
    "two asterisks": b"OPTIONS ** HTTP/1.1",
    "slash asterisk without the slash": b"GET *.html HTTP/1.1",
})
_lines("9112 3.2.3: authority-form, a host and a port, is what CONNECT has", {
    "CONNECT to a path": b"CONNECT / HTTP/1.1",
    "CONNECT without a port": b"CONNECT a HTTP/1.1",
    "CONNECT with an empty port": b"CONNECT a: HTTP/1.1",
    "CONNECT to an absolute target": b"CONNECT http://a:80/ HTTP/1.1",
    "CONNECT to an asterisk": b"CONNECT * HTTP/1.1",
})

# ---- lines ----

_add("9112 2.2: CRLF alone ends a line; a bare CR or LF is no part of one", {
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF behind the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF behind a field": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare LF behind the last field": b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    "bare LF ends the head": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "two bare LFs end the head": b"GET / HTTP/1.1\r\nHost: a\n\n",
    "bare LF before the request line": b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare LF between empty lines": b"\r\n\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare CR everywhere": b"GET / HTTP/1.1\rHost: a\r\r",
    "bare CR behind the request line": b"GET / HTTP/1.1\rHost: a\r\n\r\n",
    "bare CR before the request line": b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare CR ends the head": b"GET / HTTP/1.1\r\nHost: a\r\n\rX",
    "CR CR LF behind the request line": b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    "CR CR LF behind a field": b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "CR CR LF ends the head": b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
    "bare CR in the target": b"GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n",
    "LF CR instead of CR LF": b"GET / HTTP/1.1\n\rHost: a\n\r\n\r",
})
_fields("9112 2.2: CRLF alone ends a line; a bare CR or LF is no part of one", {
    "bare CR hides a field": b"X-Abc:\rTransfer-Encoding: chunked",
    "bare CR in a value": b"X: y\rZ: w",
    "bare CR at the end of a value": b"X: y\r",
    "bare CR before a name": b"\rX: y",
    "bare CR in a name": b"X\rY: z",
    "bare CR before the colon": b"X\r: y",
    "bare LF hides a field": b"X: y\nTransfer-Encoding: chunked",
    "bare LF hides a request": b"X: y\n\nGET /smuggled HTTP/1.1\r\nHost: a",
    "bare LF before a name": b"\nX: y",
    "CR in a length": b"Content-Length: 1\r0",
})

# ---- fields ----

_fields("9112 5.1: no white space before the colon", {
    "space before the colon": b"X : y",
    "tab before the colon": b"X\t: y",
    "space before a length's colon": b"Content-Length : 5",
    "tab before a length's colon": b"Content-Length\t: 5",
    "space before a coding's colon": b"Transfer-Encoding : chunked",
    "vertical tab before a coding's colon": b"Transfer-Encoding\x0b: chunked",
    "NUL before a coding's colon": b"Transfer-Encoding\0: chunked",
})
_fields("9110 5.1: a name is a token", {
    "empty name": b": y",
    "colon alone": b":",
    "space in a name": b"X y: z",
    "byte above 127 in a name": b"X\xe4: z",
    "at sign in a name": b"X@: y",
    "parenthesis in a name": b"X(comment): y",
    "slash in a name": b"X/y: z",
    "quotes around a name": b"\"X\": y",
    "brackets in a name": b"X[]: y",
    "NUL in a name": b"X\0: y",
    "DEL in a name": b"X\x7f: y",
    "control byte before a name": b"\x01X: y",
})
_fields("9112 5: field-name, colon", {
    "line without a colon": b"X",
    "line without a colon between others": b"A: b\r\nX\r\nC: d",
    "a request line among the fields": b"GET /smuggled HTTP/1.1",
    "the continuation of a value, unfolded": b"X: y,\r\nz",
})
_fields("9112 5.2: no line folding", {
    "folded with a space": b"X: y\r\n z",
    "folded with a tab": b"X: y\r\n\tz",
    "folded before the value": b"X:\r\n y",
    "folded with nothing behind": b"X: y\r\n ",
    "folded length": b"Content-Length:\r\n 5",
    "length continued": b"Content-Length: 1\r\n 0",
    "folded coding": b"Transfer-Encoding:\r\n chunked",
    "coding behind a fold": b"X: y\r\n Transfer-Encoding: chunked",
})
_add("9112 2.2: no white space between the start line and the first field", {
    "space before the first field": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "tab before the first field": b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
    "line of a space": b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
})
_fields("9110 5.5: a value has no control byte but HTAB", {
    "NUL in a value": b"X: a\0b",
    "control byte in a value": b"X: a\x01b",
    "escape in a value": b"X: \x1b[0m",
    "backspace in a value": b"X: a\x08",
    "vertical tab in a value": b"X: a\x0bb",
    "form feed before a value": b"X:\x0cy",
    "DEL in a value": b"X: a\x7fb",
    "NUL behind a length": b"Content-Length: 5\0",
    "vertical tab before chunked": b"Transfer-Encoding: \x0bchunked",
    "NUL behind chunked": b"Transfer-Encoding: chunked\0",
})

# ---- framing ----

_fields("9112 6.1: never both framings", {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    "chunked and length 0": b"Transfer-Encoding: chunked\r\nContent-Length: 0",
    "chunked and length in odd cases": b"tRANSFER-eNCODING: ChUnKeD\r\ncONTENT-lENGTH: 5",
    "length and an unknown coding": b"Content-Length: 5\r\nTransfer-Encoding: gzip, chunked",
    "length and an empty coding": b"Content-Length: 5\r\nTransfer-Encoding:",
    "both framings, named by Connection":
        b"Connection: Transfer-Encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
})
_fields("9112 6.3 item 5: one length", {
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6",
    "two lengths apart": b"Content-Length: 5\r\nX: y\r\nContent-Length: 6",
    "two lengths, the first 0": b"Content-Length: 0\r\nContent-Length: 6",
    "the same length twice": b"Content-Length: 5\r\nContent-Length: 5",
    "the same length in odd cases": b"Content-Length: 5\r\ncontent-length: 5",
    "a list of lengths": b"Content-Length: 5, 6",
    "a list of equal lengths": b"Content-Length: 5, 5",
    "length and an empty member": b"Content-Length: 5,",
})
_fields("9110 8.6: a length is 1*DIGIT", {
    "empty length": b"Content-Length:",
    "blank length": b"Content-Length:  \t ",
    "plus in the length": b"Content-Length: +5",
    "minus in the length": b"Content-Length: -5",
    "minus zero": b"Content-Length: -0",
    "hexadecimal length": b"Content-Length: 0x5",
    "hexadecimal digits": b"Content-Length: a",
    "length in quotes": b"Content-Length: \"5\"",
    "fraction": b"Content-Length: 5.0",
    "exponent": b"Content-Length: 1e1",
    "underscore": b"Content-Length: 1_0",
    "thousands": b"Content-Length: 1'000",
    "unit": b"Content-Length: 5 bytes",
    "length with a space in it": b"Content-Length: 1 0",
    "length with a parameter": b"Content-Length: 5;q=1",
    "digits of another script": b"Content-Length: \xd9\xa5",
    "length beyond 63 bits": b"Content-Length: 9223372036854775808",
    "length beyond 64 bits": b"Content-Length: 18446744073709551617",
    "length of 30 digits": b"Content-Length: 100000000000000000000000000005",
})
_fields("9112 6.3 item 4: chunked is the last coding, and once (6.1)", {
    "unknown coding": b"Transfer-Encoding: gzip",
    "chunked is not last": b"Transfer-Encoding: chunked, gzip",
    "chunked is not last, in two fields":
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
    "chunked twice": b"Transfer-Encoding: chunked, chunked",
    "chunked in two fields": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "almost chunked": b"Transfer-Encoding: xchunked",
    "chunked and a letter": b"Transfer-Encoding: chunkedx",
    "chunk": b"Transfer-Encoding: chunk",
    "chunked in quotes": b"Transfer-Encoding: \"chunked\"",
    "chunked with a parameter": b"Transfer-Encoding: chunked;q=0.5",
    "chunked in two words": b"Transfer-Encoding: chunked chunked",
    "identity": b"Transfer-Encoding: identity",
    "empty coding": b"Transfer-Encoding:",
    "commas for a coding": b"Transfer-Encoding: ,,",
    "chunked and a comma": b"Transfer-Encoding: chunked,",
    "no-break space before chunked": b"Transfer-Encoding: \xa0chunked",
})
_fields("9112 6.1: a coding that is not decoded here", {
    "coding before chunked": b"Transfer-Encoding: gzip, chunked",
    "coding before chunked, in two fields":
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    "identity before chunked": b"Transfer-Encoding: identity, chunked",
    "three codings": b"Transfer-Encoding: compress, gzip, chunked",
}, 501, "coding-refused")
_add("9112 6.1: no Transfer-Encoding in HTTP/1.0", {
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n",
    "chunked and length in HTTP/1.0":
        b"POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
})

# ---- Host ----

_add("9112 3.2: at most one Host", {
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "the same host twice": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two hosts in odd cases": b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n",
    "two hosts, one empty": b"GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n",
    "two hosts and an absolute target": b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
})
_hosts("9110 7.2: Host is uri-host [ : port ]", {
    "host with a path": b"a/b",
    "host with a query": b"a?b",
    "host with a fragment": b"a#b",
    "host with a user": b"u@a",
    "host with a scheme": b"http://a",
    "list of hosts": b"a, b",
    "space in the host": b"a b",
    "backslash in the Host field": b"a\\b",
    "quotes around the host": b"\"a\"",
    "angle brackets around the host": b"<a>",
    "UTF-8 in the host": b"caf\xc3\xa9",
    "port alone": b":80",
    "letters in the host's port": b"a:80x",
    "space before the host's port": b"a: 80",
    "host's port beyond 65535": b"a:65536",
    "two ports of the host": b"a:80:81",
    "half a percent-encoding": b"a%4",
    "no percent-encoding": b"a%zz",
    "host in brackets": b"[a]",
    "empty brackets": b"[]",
    "open bracket": b"[::1",
    "letters behind the bracket": b"[::1]x",
    "IPv6 host without brackets": b"::1",
    "IPv6 host with a zone": b"[fe80::1%25eth0]",
})
_add("9112 3.2.2: Host must be right although the target's authority is taken", {
    "bad host and an absolute target": b"GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n",
})

# ---- limits (design section 5; RFC 6585 section 5) ----

_fields("6585 5: more fields than max_headers, 256", {
    "257 fields": b"\r\n".join(b"X%d: y" % n for n in range(256)),
}, 431, "head-too-large")
_fields("6585 5: more than 64 connection options", {
    "65 connection options": b"Connection: " + b",".join(b"x%d" % n for n in range(65)),
}, 431, "head-too-large")

# ---- a HEAD is answered without a body whatever is wrong with it (9110 9.3.2) ----

_add("9112 5.1: no white space before the colon; 9110 9.3.2: no content to HEAD", {
    "bad field of a HEAD": b"HEAD / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
})
_add("9110 15.6.6: a version that is not spoken here; 9110 9.3.2: no content to HEAD", {
    "bad version of a HEAD": b"HEAD / HTTP/1.2\r\nHost: a\r\n\r\n",
}, 505, "version-refused")

# ---- not malformed, but not for the backend ----

for _name, _target in (("CONNECT", b"a:443"), ("CONNECT to an address", b"[::1]:443")):
    FRAMED.append((_name, "9110 9.3.6: no tunnel here (design section 5)",
                   b"CONNECT " + _target + b" HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-refused"))
FRAMED.append(("CONNECT with a body", "9110 9.3.6: no content",
               b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n", 405,
               "method-refused"))

# ---- what stands behind a message is none of it (9112 section 6.3) ----

_GET = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"


def _post(framing, body):
    return b"POST /first HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + body


for _name, _rule, _first, _rest, _status, _end in (
    ("a body that no field tells of", "9112 6.3 item 7: no body", _GET, b"a=b&c=d\r\n\r\n", 400,
     "bad-request"),
    ("a chunked body that no field tells of", "9112 6.3 item 7: no body", _GET,
     b"5\r\nhello\r\n0\r\n\r\n", 400, "bad-request"),
    ("a body longer than its length", "9112 6.3 item 6: Content-Length octets",
     _post(b"Content-Length: 4", b"abcd"), b"efgh\r\n\r\n", 400, "bad-request"),
    ("a body where the length is 0", "9112 6.3 item 6: Content-Length octets",
     _post(b"Content-Length: 0", b""), b"abcd efgh\r\n\r\n", 400, "bad-request"),
    ("a NUL behind a body", "9112 6.3 item 6: Content-Length octets",
     _post(b"Content-Length: 4", b"abcd"), b"\0\r\n\r\n", 400, "bad-request"),
    ("bytes behind the last chunk", "9112 7.1: chunked-body ends with the empty line",
     _post(b"Transfer-Encoding: chunked", b"4\r\nabcd\r\n0\r\n\r\n"), b"4\r\nabcd\r\n0\r\n\r\n",
     400, "bad-request"),
    ("a second last chunk", "9112 7.1: one last-chunk",
     _post(b"Transfer-Encoding: chunked", b"0\r\n\r\n"), b"0\r\n\r\n", 400, "bad-request"),
    ("trailers behind the end", "9112 7.1.2: the section ends with the empty line",
     _post(b"Transfer-Encoding: chunked", b"0\r\nA: b\r\n\r\n"), b"C: d\r\n\r\n", 400,
     "bad-request"),
    ("an empty line ended by LF", "9112 2.2: empty lines before a request end in CRLF",
     _GET, b"\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("a response", "9112 3: a request", _GET, b"HTTP/1.1 200 OK\r\n\r\n", 400, "bad-request"),
    ("a method glued to the body", "9112 6.3 item 6: Content-Length octets",
     _post(b"Content-Length: 4", b"abcd"), b"xGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 501,
     "method-unknown"),
    ("HTTP/2 behind HTTP/1.1", "9113 3.4: the preface of HTTP/2", _GET,
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version-refused"),
):
    BEHIND.append((_name, _rule, _first, _rest, _status, _end))
