#include "weight_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>

namespace lowpeak {
namespace {

// A fault maps the pages around it as well, within blocks of this size: they are given back together.
constexpr std::uintptr_t block_bytes = 64 << 10;

// A read-ahead of more would push out what is needed first.
constexpr std::size_t most_ahead = std::size_t{16} << 20;

std::uintptr_t mapped_begin = 0, mapped_end = 0;

void advise(const void* data, std::size_t bytes, int advice) {
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = std::max(from / block_bytes * block_bytes, mapped_begin);
  const std::uintptr_t end = std::min((from + bytes + block_bytes - 1) / block_bytes * block_bytes, mapped_end);
  // It is advice: what comes of it changes no result.
  if (bytes > 0 && begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

void advise(const QuantizedMatrix& matrix, int advice, std::size_t most) {
  const auto limited = [most](std::int64_t bytes) { return std::min(static_cast<std::size_t>(bytes), most); };
  const std::int64_t groups = matrix.rows * matrix.groups();
  advise(matrix.data, limited(matrix.rows * matrix.row_bytes()), advice);
  advise(matrix.scale, limited(groups * (matrix.scale_is_half ? 2 : 4)), advice);
  if (matrix.zero_point) advise(matrix.zero_point, limited(groups * 4), advice);
}

}  // namespace

void read_ahead(const QuantizedMatrix& matrix) { advise(matrix, MADV_WILLNEED, most_ahead); }

void give_back(const QuantizedMatrix& matrix) { advise(matrix, MADV_DONTNEED, SIZE_MAX); }

}  // namespace lowpeak

void lowpeak_weights_mapped(const void* begin, std::int64_t bytes) {
  // Whole pages: the mapping begins and ends with one.
  lowpeak::mapped_begin = reinterpret_cast<std::uintptr_t>(begin);
  lowpeak::mapped_end = lowpeak::mapped_begin + static_cast<std::uintptr_t>(bytes);
}
