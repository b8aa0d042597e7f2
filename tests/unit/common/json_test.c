/*
 * json_test.c -- what the JSON writer writes, and that it never writes beyond its end.
 */
#include "common/json.h"

#include <criterion/criterion.h>

static char buf[512];
static struct json j;

static void begin(void)
{
	json_init(&j, buf, sizeof(buf));
}

TestSuite(json, .init = begin);

static void expect(const char *text)
{
	cr_assert_not(j.full);
	cr_assert_eq(json_len(&j), strlen(text), "%.*s", (int)json_len(&j), buf);
	cr_assert_arr_eq(buf, text, json_len(&j), "%.*s", (int)json_len(&j), buf);
}

Test(json, commas_are_put_where_needed)
{
	json_object_begin(&j);
	json_key(&j, "a");
	json_u64(&j, 1);
	json_key(&j, "b");
	json_array_begin(&j);
	json_u64(&j, 2);
	json_object_begin(&j);
	json_object_end(&j);
	json_array_begin(&j);
	json_array_end(&j);
	json_null(&j);
	json_array_end(&j);
	json_key(&j, "c");
	json_object_begin(&j);
	json_key(&j, "d");
	json_bool(&j, true);
	json_key(&j, "e");
	json_bool(&j, false);
	json_object_end(&j);
	json_object_end(&j);
	json_newline(&j);
	json_object_begin(&j);
	json_object_end(&j);
	expect("{\"a\":1,\"b\":[2,{},[],null],\"c\":{\"d\":true,\"e\":false}}\n{}");
}

Test(json, raw_bytes)
{
	json_object_begin(&j);
	json_raw(&j, "\"a\":1", 5);
	json_key(&j, "b");
	json_u64(&j, 2);
	json_object_end(&j);
	expect("{\"a\":1,\"b\":2}");
}

Test(json, numbers)
{
	json_array_begin(&j);
	json_u64(&j, 0);
	json_u64(&j, UINT64_MAX);
	json_i64(&j, INT64_MIN);
	json_i64(&j, -1);
	json_i64(&j, INT64_MAX);
	json_hex64(&j, 0x9f3c51d27be40a18);
	json_hex64(&j, 0xa);
	json_hex32(&j, 0x5d2c);
	json_array_end(&j);
	expect("[0,18446744073709551615,-9223372036854775808,-1,9223372036854775807,"
	       "\"9f3c51d27be40a18\",\"000000000000000a\",\"00005d2c\"]");
}

static void expect_string(const char *bytes, size_t len, const char *text)
{
	begin();
	json_string(&j, bytes, len);
	expect(text);
}

#define EXPECT_STRING(bytes, text) expect_string((bytes), sizeof(bytes) - 1, "\"" text "\"")

Test(json, strings)
{
	EXPECT_STRING("", "");
	EXPECT_STRING("plain /text~ ", "plain /text~ ");
	EXPECT_STRING("\"\\", "\\\"\\\\");
	EXPECT_STRING("\b\t\n\f\r", "\\b\\t\\n\\f\\r");
	EXPECT_STRING("\0\x01\x0b\x1f\x7f", "\\u0000\\u0001\\u000b\\u001f\\u007f");
}

Test(json, utf8_is_kept)
{
	EXPECT_STRING("caf\xc3\xa9", "caf\xc3\xa9");
	EXPECT_STRING("\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf");
	EXPECT_STRING("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80",
		      "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80");
	EXPECT_STRING("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	EXPECT_STRING("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\\u2028\\u2029\xe2\x80\xaa");
}

Test(json, other_bytes_as_four_characters)
{
	EXPECT_STRING("\xff", "\\\\xff");
	EXPECT_STRING("a\x80z", "a\\\\x80z");
	EXPECT_STRING("\xc3", "\\\\xc3");
	EXPECT_STRING("\xc3(", "\\\\xc3(");
	EXPECT_STRING("\xc0\xaf", "\\\\xc0\\\\xaf");
	EXPECT_STRING("\xc1\xbf", "\\\\xc1\\\\xbf");
	EXPECT_STRING("\xe0\x9f\xbf", "\\\\xe0\\\\x9f\\\\xbf");
	EXPECT_STRING("\xed\xa0\x80", "\\\\xed\\\\xa0\\\\x80");
	EXPECT_STRING("\xf0\x8f\xbf\xbf", "\\\\xf0\\\\x8f\\\\xbf\\\\xbf");
	EXPECT_STRING("\xf4\x90\x80\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80");
	EXPECT_STRING("\xf5\x80\x80\x80", "\\\\xf5\\\\x80\\\\x80\\\\x80");
	EXPECT_STRING("\xe2\x82", "\\\\xe2\\\\x82");
	EXPECT_STRING("\xf0\x90\x80", "\\\\xf0\\\\x90\\\\x80");
}

Test(json, text_clock_and_addresses)
{
	struct addr a = {.family = ADDR_IP4, .port = 8585, .ip = {127, 0, 0, 1}};
	struct addr none = {0};

	json_array_begin(&j);
	json_text(&j, "a\"b");
	json_clock(&j, 1795421704123456789);
	json_addr(&j, &a);
	json_addr(&j, &none);
	json_array_end(&j);
	expect("[\"a\\\"b\",\"2026-11-23T08:15:04.123456789Z\",\"127.0.0.1:8585\",null]");
}

/* Every capacity below what is needed: full is set, nothing is written at or behind the end. */
Test(json, full)
{
	static const char whole[] = "{\"key\":\"v\\u0001\\\\xff\",\"n\":[-12,\"0000000a\"]}\n";

	for (size_t cap = 0; cap <= sizeof(whole); cap++) {
		memset(buf, '#', sizeof(buf));
		json_init(&j, buf, cap);
		json_object_begin(&j);
		json_key(&j, "key");
		json_string(&j, "v\x01\xff", 3);
		json_key(&j, "n");
		json_array_begin(&j);
		json_i64(&j, -12);
		json_hex32(&j, 10);
		json_array_end(&j);
		json_object_end(&j);
		json_newline(&j);
		cr_assert_eq(j.full, cap < sizeof(whole) - 1, "%zu", cap);
		cr_assert_leq(json_len(&j), cap);
		cr_assert_arr_eq(buf, whole, json_len(&j), "a prefix of it");
		for (size_t i = json_len(&j); i < sizeof(buf); i++)
			cr_assert_eq(buf[i], '#');
	}
}
