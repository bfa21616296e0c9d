#include "pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <vector>

namespace lowpeak {
namespace {

// A fault maps the pages around it as well: 64 kB, and on new kernels all of a folio, at most what one page table
// maps. They are given back together.
constexpr std::uintptr_t block_bytes = 2 << 20;

// A read-ahead of more would push out what is needed first.
constexpr std::size_t most_ahead = std::size_t{16} << 20;

struct Region {
  std::uintptr_t begin, end;
};
std::vector<Region> regions;

void advise(const void* data, std::size_t bytes, int advice) {
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(data);
  for (const Region& region : regions) {
    if (from < region.begin || from >= region.end) continue;
    const std::uintptr_t begin = std::max(from / block_bytes * block_bytes, region.begin);
    const std::uintptr_t end = std::min((from + bytes + block_bytes - 1) / block_bytes * block_bytes, region.end);
    // It is advice: what comes of it changes no result.
    ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
    return;
  }
}

void advise(const QuantizedMatrix& matrix, int advice, std::size_t most) {
  const auto tell = [advice, most](const void* data, std::int64_t bytes) {
    advise(data, std::min(static_cast<std::size_t>(bytes), most), advice);
  };
  const std::int64_t groups = matrix.rows * matrix.groups();
  tell(matrix.data, matrix.rows * matrix.row_bytes());
  tell(matrix.scale, groups * (matrix.scale_is_half ? 2 : 4));
  if (matrix.zero_point) tell(matrix.zero_point, groups * 4);
}

}  // namespace

void read_ahead(const QuantizedMatrix& matrix) { advise(matrix, MADV_WILLNEED, most_ahead); }

void give_back(const void* data, std::size_t bytes) {
  if (bytes > 0) advise(data, bytes, MADV_DONTNEED);
}

void give_back(const QuantizedMatrix& matrix) { advise(matrix, MADV_DONTNEED, SIZE_MAX); }

}  // namespace lowpeak

void lowpeak_pages_mapped(const void* begin, std::int64_t bytes) {
  const auto from = reinterpret_cast<std::uintptr_t>(begin);
  if (bytes > 0) lowpeak::regions.push_back({from, from + static_cast<std::uintptr_t>(bytes)});
}

void lowpeak_pages_unmapped(const void* begin) {
  const auto from = reinterpret_cast<std::uintptr_t>(begin);
  auto& regions = lowpeak::regions;
  regions.erase(std::remove_if(regions.begin(), regions.end(),
                               [from](const lowpeak::Region& region) { return region.begin == from; }),
                regions.end());
}
