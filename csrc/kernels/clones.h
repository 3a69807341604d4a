// Compiling one function for several instruction sets, chosen when the program starts.
#pragma once

// Sanitizers instrument the resolver, which runs before their runtime is ready.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GLIBC__) && !defined(__clang__) && \
    __GNUC__ >= 12 && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WENGERT_HAS_CLONES 1
#define WENGERT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WENGERT_CLONES
#endif

#define WENGERT_INLINE inline __attribute__((always_inline))
// For what gains nothing from the instruction sets: one copy, that the clones call.
#define WENGERT_ONCE __attribute__((noinline))
