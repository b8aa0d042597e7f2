/*
 * version.h -- the version that both programs name; they are released together.
 */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

#define FLOWPROXY_VERSION "0.1.0"

#endif
