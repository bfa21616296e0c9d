// What the trainer looks up in the library of operators by dlsym, and Python by ctypes: both sides include this.
#pragma once

#include <cstdint>

namespace lowpeak {
class Session;
}

extern "C" {

// A session of the kernels (session.h) for the programs of one run. Null if there is no memory. Its caller closes it,
// when no thread is in it.
lowpeak::Session* lowpeak_session_open();
void lowpeak_session_close(lowpeak::Session* session);

// The calling thread executes programs in this session from now on, or in none if it is null -> the one it was in.
lowpeak::Session* lowpeak_session_enter(lowpeak::Session* session);

// Opens the session's offload file, in place of one that is open. Null, or what went wrong, valid until the session
// is asked again.
const char* lowpeak_session_offload_open(lowpeak::Session* session, const char* folder, std::int64_t bytes);

// Closes it, if there is one: after this nothing is read into a program's memory, and what was asked for and is not
// there yet will not be.
void lowpeak_session_offload_close(lowpeak::Session* session);

// What went wrong in a store or load; empty if nothing. Valid until the session is asked again.
const char* lowpeak_session_offload_failure(lowpeak::Session* session);

// The bytes at `begin` are a file's: a private mapping that is only read, or a shared one. No program of the session
// may run meanwhile.
void lowpeak_session_pages_mapped(lowpeak::Session* session, const void* begin, std::int64_t bytes);

// They are not any more.
void lowpeak_session_pages_unmapped(lowpeak::Session* session, const void* begin);

// Runs products with int4 weights, as large as those of a small model, on the thread pool for about `seconds` ->
// products a second; 0 if there is no memory.
double lowpeak_products_per_second(double seconds);
}
