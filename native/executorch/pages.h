// Files that are mapped into the process, whose pages are asked for before they are read and given back after:
// the weights; the adapter and its gradients.
//
// Only pages of files that were added are given back; what lies elsewhere (an arena, a copy on the heap) is left alone.
// The contents stay in the file, and in the page cache as long as the system has room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/linear/quantized.h"

namespace lowpeak {

class Pages {
 public:
  // The mapped file at `begin`. No program may use the pages meanwhile.
  void add(const void* begin, std::int64_t bytes);
  void remove(const void* begin);

  // Starts to read pages into the page cache, and returns at once.
  void read_ahead(const void* data, std::size_t bytes) const;

  // Takes pages out of the process.
  void give_back(const void* data, std::size_t bytes) const;

  // For kernels that read a large matrix part by part: gives back the part, and starts to read as many rows after it.
  void read_on(const QuantizedMatrix& part) const;

 private:
  struct Region {
    std::uintptr_t begin, end;
  };

  void advise(const void* data, std::size_t bytes, int advice, std::uintptr_t block) const;

  std::vector<Region> regions_;
};

}  // namespace lowpeak
