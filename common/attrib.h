/*
 * attrib.h -- compiler attributes and tiny macros that every file may use.
 */
#ifndef COMMON_ATTRIB_H
#define COMMON_ATTRIB_H

/* The caller must look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* fmt is the 1-based index of the format string, args that of the first variable argument. */
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define NORETURN               __attribute__((noreturn))

#define LIKELY(x)              __builtin_expect(!!(x), 1)
#define UNLIKELY(x)            __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a)           (sizeof(a) / sizeof((a)[0]))

#define MIN(a, b)              ((a) < (b) ? (a) : (b))
#define MAX(a, b)              ((a) > (b) ? (a) : (b))

#define NS_PER_US              1000ULL
#define NS_PER_MS              1000000ULL
#define NS_PER_S               1000000000ULL

#endif
