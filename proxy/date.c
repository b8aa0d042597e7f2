/*
 * date.c -- the Date of this second, kept per thread.
 */
#include "proxy/date.h"

#include <string.h>
#include <time.h>

const char *date_text(uint64_t now_s)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static _Thread_local uint64_t cached_s = UINT64_MAX;
	static _Thread_local char text[DATE_TEXT_LEN + 1];

	if (cached_s != now_s) {
		static const char form[DATE_TEXT_LEN + 1] = "xxx, 00 xxx 0000 00:00:00 GMT";
		time_t t = (time_t)now_s;
		struct tm tm;
		int year;

		gmtime_r(&t, &tm);
		year = tm.tm_year + 1900;
		memcpy(text, form, sizeof(form));
		memcpy(text, days + 3 * tm.tm_wday, 3);
		memcpy(text + 8, months + 3 * tm.tm_mon, 3);
		text[5] = (char)('0' + tm.tm_mday / 10);
		text[6] = (char)('0' + tm.tm_mday % 10);
		for (int i = 15; i >= 12; i--, year /= 10)
			text[i] = (char)('0' + year % 10);
		text[17] = (char)('0' + tm.tm_hour / 10);
		text[18] = (char)('0' + tm.tm_hour % 10);
		text[20] = (char)('0' + tm.tm_min / 10);
		text[21] = (char)('0' + tm.tm_min % 10);
		text[23] = (char)('0' + tm.tm_sec / 10);
		text[24] = (char)('0' + tm.tm_sec % 10);
		cached_s = now_s;
	}
	return text;
}
