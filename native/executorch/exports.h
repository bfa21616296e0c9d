// What the trainer looks up in the library of operators by dlsym, and Python by ctypes: both sides include this.
#pragma once

#include <cstdint>

extern "C" {

// Opens the process's offload file, in place of one that is open. Null, or what went wrong, valid until the next
// call.
const char* lowpeak_offload_open(const char* folder, std::int64_t bytes);

// Closes it, if there is one: after this nothing is read into a program's memory, and what was asked for and is not
// there yet will not be.
void lowpeak_offload_close();

// What went wrong in a store or load; empty if nothing.
const char* lowpeak_offload_failure();

// The bytes at `begin` are a file's: a private mapping that is only read, or a shared one. No program may run
// meanwhile.
void lowpeak_pages_mapped(const void* begin, std::int64_t bytes);

// They are not any more.
void lowpeak_pages_unmapped(const void* begin);

// Runs products with int4 weights, as large as those of a small model, on the thread pool for about `seconds` ->
// products a second; 0 if there is no memory.
double lowpeak_products_per_second(double seconds);
}
