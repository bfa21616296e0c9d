// The weights as pages of a mapped file: asked for before they are read, given back after.
//
// Only pages of the file that `lowpeak_weights_mapped` names are given back; weights that lie elsewhere (a copy on
// the heap) are left alone. The contents stay in the file, and in the page cache as long as the system has room.
#pragma once

#include <cstdint>

#include "quantized.h"

namespace lowpeak {

// Starts to read a matrix into the page cache, and returns at once.
void read_ahead(const QuantizedMatrix& matrix);

// Takes the matrix's pages out of the process.
void give_back(const QuantizedMatrix& matrix);

// Gives a matrix back at the end of the kernel that reads it.
class Borrowed {
 public:
  explicit Borrowed(const QuantizedMatrix& matrix) : matrix_(matrix) {}
  ~Borrowed() { give_back(matrix_); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

 private:
  const QuantizedMatrix matrix_;
};

}  // namespace lowpeak

// The bytes at `begin` are a file's, mapped read only. No program may run meanwhile. 0 bytes: there are none.
extern "C" void lowpeak_weights_mapped(const void* begin, std::int64_t bytes);
