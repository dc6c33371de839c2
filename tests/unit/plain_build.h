/* plain_build.h: 1 where time and memory can be held against bounds: no sanitizer is at work. */
#ifndef PLAIN_BUILD_H
#define PLAIN_BUILD_H

#if defined(__SANITIZE_ADDRESS__)
#define IS_PLAIN_BUILD 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_PLAIN_BUILD 0
#endif
#endif
#ifndef IS_PLAIN_BUILD
#define IS_PLAIN_BUILD 1
#endif

#endif
